/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls.h: system calls: names, what a thread that sleeps in one waits for, what they work on.
 */
#ifndef PERFTOP_SYSCALLS_H
#define PERFTOP_SYSCALLS_H

#include <stdint.h>

/* "read", …; NULL when this architecture has no call of that number. */
const char *syscall_name(uint32_t nr);
/* Number of a call by name, or -1. */
int syscall_nr(const char *name);
/* enum contract_wait of a thread that sleeps in syscall nr. */
uint32_t syscall_wait_class(uint32_t nr);
/* An enum contract_fd that syscall nr always works on, or FD_OF_ARGUMENT …: how it is found. */
uint32_t syscall_fd_class(uint32_t nr);
/* enum contract_turn: does it read from the descriptor that is its first argument, or send,
 * or give a connection? */
uint32_t syscall_turn(uint32_t nr);
/* "file", "socket", …; "" for FD_NONE. */
const char *fd_class_name(uint32_t class);

#endif
