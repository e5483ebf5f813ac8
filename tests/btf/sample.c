/* Every kind of BTF that a compiler makes, in one small object. */
#define tag(t) __attribute__((btf_type_tag(t)))
#define decl(t) __attribute__((btf_decl_tag(t)))

struct foo {
	int var;
};

enum small { SMALL_NEGATIVE = -1, SMALL_TWO = 2 };
enum big { BIG = 0x123456789abcdefULL };
typedef unsigned int u32;
typedef int (*callback)(struct foo *foo, const char *name, ...);

union either {
	u32 number;
	float fraction;
};

struct node {
	struct node *next;
	const volatile u32 flags;
	u32 low : 3, high : 29;
	signed char sign : 4;
	enum small small;
	enum big big;
	union either either;
	callback call;
	struct {
		int inner;
		char name[16];
	};
	struct foo tag("kptr") *before;
	struct foo *after decl("kptr") decl("local");
	struct foo tag("kptr") *many[2];
	struct foo *plain;
	double ratio;
	_Bool yes;
	int matrix[2][3];
	int *restrict only;
};

struct undefined;
struct value {
	struct undefined *unknown decl("kptr");
};

struct node node decl("whole") = {};
struct value value = {};
static volatile int hidden = 3;

decl("function") __attribute__((noinline)) int use(struct node *n decl("param"), int *restrict p)
{
	return n->low + hidden + *p;
}
