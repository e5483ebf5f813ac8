/* Layouts, tags and names that are easily printed wrong. */
#define T(t) __attribute__((btf_type_tag(t)))
#define D(t) __attribute__((btf_decl_tag(t)))
struct foo { int var; };
struct packd { char c; int i; } __attribute__((packed));
struct outer { short s; struct packd p; };
struct al { int a; } __attribute__((aligned(8)));
struct gap { int a; int b __attribute__((aligned(16))); };
struct pa4 { unsigned long x; int y; } __attribute__((packed, aligned(4)));
struct use4 { char c; struct pa4 p; };
union big { char c; } __attribute__((aligned(16)));
struct bits { unsigned a:3; unsigned :5; unsigned b:7; unsigned long c:40; char d; };
struct pbits { char x; unsigned a:29; unsigned b:5; } __attribute__((packed));
enum two { TWO_A = 1 } __attribute__((mode(HI)));
enum one { ONE_A = 1 } __attribute__((mode(byte)));
enum eight { EIGHT_A = 1 } __attribute__((mode(DI)));
enum low { LOW = -0x7fffffffffffffffLL-1, HIGHER = 2 };
struct tags { struct foo T("a") T("b") *p; int (*arr)[3]; int *ptrs[3]; int *const cp; const int *pc;
  void (*f)(int, ...); int (*(*ff)(void))(char); struct foo * T("in") *pp D("a \"q\" \\"); } D("on the struct");
typedef struct foo foo_t D("on the typedef");
typedef int vec[4];
struct tv { foo_t f; vec v; enum two t; enum one o; enum eight e; enum low l; __int128 i; _Bool b; };
struct flex { int n; struct foo items[]; };
struct outer u1; struct al u2; struct gap u3; struct use4 u4; union big u5; struct bits u6; struct pbits u7; struct tags u8; struct tv u9; struct flex u10;
enum unsigned_byte { UNSIGNED_BYTE = 1 } __attribute__((packed));
struct more { enum unsigned_byte u; enum { ANONYMOUS = 3 } x, y; char tail[3]; };
struct a_later;
typedef struct a_later later_t;
struct first { later_t *p; };
struct a_later { struct first f; later_t *self; };
struct more u11; struct first u12; later_t u13;
int scoped(int n)
{
	static volatile struct twice { int a; } one;
	return one.a += n;
}
int scoped_again(int n)
{
	static volatile struct twice { long b; } two;
	return two.b += n;
}
