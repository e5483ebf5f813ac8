/* SPDX-License-Identifier: Apache-2.0 */
/* As in the three programs. */
#include "../three_programs/p3.bpf.c"
