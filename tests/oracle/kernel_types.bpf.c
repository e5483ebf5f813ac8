/* Programs that ask what the live kernel has. Each says the verdict of both verifiers. */
#include <bpfheap.h>

#define CORE __attribute__((preserve_access_index))
#define EXISTS(field) __builtin_preserve_field_info(field, 2)
#define OFFSET(field) __builtin_preserve_field_info(field, 0)
#define ACCEPT(name) SEC("tc") int name(struct __sk_buff *skb)
#define REJECT(name) SEC("tc") int name(struct __sk_buff *skb)
/* Neither verifier lets it pass where it is reached. */
#define WRONG return *(int *)(long)skb->len

struct task_struct { int pid; } CORE;
struct task_struct___gone { int no_such_field; } CORE;
struct no_such_struct { int x; } CORE;
enum bpf_map_type___mine { BPF_MAP_TYPE_HASH___mine = 77, BPF_MAP_TYPE_NEVER };

extern void *bpf_no_such_kfunc(int) __attribute__((section(".ksyms"), weak));
extern int no_such_variable __attribute__((section(".ksyms"), weak));
extern void bpf_rcu_read_lock(void) __attribute__((section(".ksyms"), weak));
extern void bpf_rcu_read_unlock(void) __attribute__((section(".ksyms"), weak));

extern _Bool CONFIG_BPF_SYSCALL __attribute__((section(".kconfig"), weak));
extern int CONFIG_NO_SUCH_NUMBER __attribute__((section(".kconfig"), weak));
extern unsigned LINUX_KERNEL_VERSION __attribute__((section(".kconfig"), weak));

ACCEPT(field_is_there)
{
	if (!EXISTS(((struct task_struct *)0)->pid))
		WRONG;
	return 0;
}

ACCEPT(field_is_gone)
{
	if (EXISTS(((struct task_struct___gone *)0)->no_such_field))
		WRONG;
	return 0;
}

REJECT(gone_field_is_reached)
{
	return OFFSET(((struct task_struct___gone *)0)->no_such_field);
}

ACCEPT(gone_field_is_behind_a_test)
{
	if (EXISTS(((struct task_struct___gone *)0)->no_such_field))
		return OFFSET(((struct task_struct___gone *)0)->no_such_field);
	return 0;
}

REJECT(only_own_struct)
{
	return OFFSET(((struct no_such_struct *)0)->x);
}

ACCEPT(value_of_an_enum)
{
	if (__builtin_preserve_enum_value(*(enum bpf_map_type___mine *)BPF_MAP_TYPE_HASH___mine, 1) != 1)
		WRONG;
	if (__builtin_preserve_enum_value(*(enum bpf_map_type___mine *)BPF_MAP_TYPE_NEVER, 0))
		WRONG;
	return 0;
}

ACCEPT(weak_kfunc_is_behind_a_test)
{
	if (bpf_no_such_kfunc)
		return bpf_no_such_kfunc(1) != 0;
	return 0;
}

REJECT(weak_kfunc_is_reached)
{
	return bpf_no_such_kfunc(1) != 0;
}

ACCEPT(weak_variable_is_null)
{
	if (&no_such_variable)
		WRONG;
	return 0;
}

ACCEPT(weak_kfunc_is_there)
{
	if (!bpf_rcu_read_lock)
		WRONG;
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return 0;
}

REJECT(kfunc_is_no_memory)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return *(char *)(void *)bpf_rcu_read_lock;
}

REJECT(kfunc_is_not_written)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	*(char *)(void *)bpf_rcu_read_lock = 1;
	return 0;
}

ACCEPT(kfunc_is_a_number)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return (long)bpf_rcu_read_lock;
}

ACCEPT(configuration_is_known)
{
	if (!CONFIG_BPF_SYSCALL || CONFIG_NO_SUCH_NUMBER || LINUX_KERNEL_VERSION < 0x50000)
		WRONG;
	return 0;
}

REJECT(configuration_is_not_written)
{
	*(volatile unsigned *)&LINUX_KERNEL_VERSION = 1;
	return 0;
}

char _license[] SEC("license") = "GPL";
