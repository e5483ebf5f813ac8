// SPDX-License-Identifier: Apache-2.0
/*
 * The init of a virtual machine: makes system calls for the process that started it.
 *
 * A call, its result and all memory that it uses are in a window that both sides see: the memory of
 * an ivshmem device, which needs no driver. A byte on the second serial port says that a call is
 * there, a byte back that it is done. The first one back says that all is ready.
 *
 * There is no libc. WINDOW, the file of the device's memory, and WINDOW_SIZE come from agent.py.
 */

#include <asm/termbits.h>
#include <asm/termios.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/resource.h>

#define PORT "/dev/ttyS1"

/* What the window begins with; as __init__.py has it, too. */
struct request {
	unsigned long address;	/* of the window, in this process */
	long result;		/* a negative errno if the call failed */
	long number;
	long args[6];
};

static long syscall6(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

static long syscall3(long number, long a, long b, long c)
{
	return syscall6(number, a, b, c, 0, 0, 0);
}

/* On the console, where the other side looks for it; without an init the kernel panics. */
static void fail(const char *what)
{
	unsigned long length = 0;

	while (what[length])
		length++;
	syscall3(__NR_write, 2, (long)what, length);
	syscall3(__NR_exit, 1, 0, 0);
}

static long opened(const char *path, const char *failed)
{
	long fd = syscall3(__NR_open, (long)path, O_RDWR | O_NOCTTY, 0);

	if (fd < 0)
		fail(failed);
	return fd;
}

static void mount(const char *type, const char *where)
{
	syscall3(__NR_mkdir, (long)where, 0755, 0);
	syscall6(__NR_mount, (long)type, (long)where, (long)type, 0, 0, 0);
}

static struct request *window(void)
{
	long fd = opened(WINDOW, "bpfheap: the kernel shows no PCI device in sysfs\n");
	long address = syscall6(__NR_mmap, 0, WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (address < 0)
		fail("bpfheap: the memory of a PCI device cannot be mapped\n");
	return (struct request *)address;
}

/* The kernel enters here with a stack that no caller has aligned. */
__attribute__((force_align_arg_pointer)) void _start(void)
{
	/* No echo, no lines, a byte at a time. */
	struct termios raw = { .c_cflag = B115200 | CS8 | CREAD | CLOCAL, .c_cc[VMIN] = 1 };
	/* Until Linux 5.11, programs and maps count as locked memory. */
	struct rlimit any = { RLIM_INFINITY, RLIM_INFINITY };
	volatile struct request *request;
	char bell = 0;
	long port;

	mount("devtmpfs", "/dev");
	mount("sysfs", "/sys");
	syscall3(__NR_setrlimit, RLIMIT_MEMLOCK, (long)&any, 0);
	port = opened(PORT, "bpfheap: the kernel has no second serial port\n");
	syscall3(__NR_ioctl, port, TCSETS, (long)&raw);
	request = window();
	request->address = (unsigned long)request;

	for (;;) {
		syscall3(__NR_write, port, (long)&bell, 1);
		syscall3(__NR_read, port, (long)&bell, 1);
		request->result = syscall6(request->number, request->args[0], request->args[1],
					   request->args[2], request->args[3], request->args[4],
					   request->args[5]);
	}
}
