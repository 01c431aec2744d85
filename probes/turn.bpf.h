/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn.bpf.h: how long an answer takes, from what system calls read and send. On a connection that
 * was made to the target: from the first data read to the next sent. On one that it made itself:
 * from the last data sent to the next read. Neither knows a protocol: of requests that follow each
 * other without waiting, those that are read or sent together are one.
 */
#ifndef PERFTOP_TURN_BPF_H
#define PERFTOP_TURN_BPF_H

/* enum contract_turn of each call. Set before load. */
const volatile __u8 syscall_turn[CONTRACT_SYSCALLS];

/* Raised by the reader whenever calls went untimed: what began before then is worth nothing. */
__u32 turn_window = 0;
__u32 turn_rows_used = 0; /* from row 1 on: row 0 is for what found no place */

/* Ports of the target's network that somebody listens at, a bit for each: kept by the reader. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 65536 / 64);
	__type(key, u32);
	__type(value, u64);
} turn_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CONTRACT_TURN_SOCKETS);
	__type(key, u64); /* inode */
	__type(value, struct contract_turn_socket);
} turn_sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CONTRACT_TURN_ROWS);
	__type(key, struct contract_turn_key);
	__type(value, u32);
} turn_row SEC(".maps");

/* The way back, of each row given out. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, CONTRACT_TURN_ROWS);
	__type(key, u32);
	__type(value, struct contract_turn_key);
} turn_keys SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, CONTRACT_TURN_ROWS);
	__type(key, u32);
	__type(value, struct contract_hist);
} turn_hist SEC(".maps");

enum { FAMILY_INET = 2, FAMILY_INET6 = 10, PROTOCOL_TCP = 6, PROTOCOL_UDP = 17 };

/* Whose end counts; false where nobody answers anybody. accepted: the connection was made to it. */
static __always_inline bool turn_key_of(struct sock *sk, bool accepted,
					struct contract_turn_key *key)
{
	u32 family = BPF_CORE_READ(sk, __sk_common.skc_family), local, word;
	u64 *ports;

	key->protocol = BPF_CORE_READ(sk, sk_protocol);
	if ((family != FAMILY_INET && family != FAMILY_INET6) ||
	    (key->protocol != PROTOCOL_TCP && key->protocol != PROTOCOL_UDP))
		return false;
	local = BPF_CORE_READ(sk, __sk_common.skc_num);
	word = local / 64;
	ports = bpf_map_lookup_elem(&turn_ports, &word);
	if (accepted || (key->protocol == PROTOCOL_TCP && ports && *ports >> local % 64 & 1)) {
		key->port = (u16)local;
		key->served = 1;
		return true;
	}
	key->port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (family == FAMILY_INET) {
		BPF_CORE_READ_INTO((u32 *)key->addr, sk, __sk_common.skc_daddr);
	} else if (bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) {
		key->ipv6 = 1;
		bpf_probe_read_kernel(key->addr, sizeof(key->addr), &sk->__sk_common.skc_v6_daddr);
	}
	return key->port != 0;
}

static __always_inline u32 turn_row_of(const struct contract_turn_key *key)
{
	u32 *row = bpf_map_lookup_elem(&turn_row, key), fresh;
	struct contract_turn_key *back;

	if (row)
		return *row;
	if (turn_rows_used >= CONTRACT_TURN_ROWS - 1)
		return 0;
	fresh = 1 + __sync_fetch_and_add(&turn_rows_used, 1);
	back = bpf_map_lookup_elem(&turn_keys, &fresh);
	if (!back)
		return 0;
	*back = *key;
	if (bpf_map_update_elem(&turn_row, key, &fresh, BPF_NOEXIST)) {
		/* Another CPU was first: this one stays empty. */
		row = bpf_map_lookup_elem(&turn_row, key);
		return row ? *row : 0;
	}
	return fresh;
}

static __always_inline struct contract_turn_socket *turn_socket_new(struct task_struct *task,
								    u32 fd, u64 inode,
								    bool accepted)
{
	struct contract_turn_socket fresh = {};
	struct contract_turn_key key = {};
	struct file *file = open_file(task, fd);
	struct socket *socket;

	if (!file)
		return 0;
	socket = BPF_CORE_READ(file, private_data);

	if (turn_key_of(BPF_CORE_READ(socket, sk), accepted, &key))
		fresh.row = turn_row_of(&key);
	fresh.served = key.served;
	bpf_map_update_elem(&turn_sockets, &inode, &fresh, BPF_ANY);
	return bpf_map_lookup_elem(&turn_sockets, &inode);
}

static __always_inline void turn_accepted(struct task_struct *task, u32 fd)
{
	u64 inode = fd_inode(task, fd);

	if (inode)
		turn_socket_new(task, fd, inode, true);
}

/* A call on a socket that moved data has ended: it took from begin_ns to now. */
static __always_inline void turn_seen(struct task_struct *task, u32 fd, u32 turn, u64 begin_ns,
				      u64 now)
{
	u64 inode = fd_inode(task, fd);
	struct contract_turn_socket *s;
	struct contract_hist *h;

	if (!inode)
		return;
	s = bpf_map_lookup_elem(&turn_sockets, &inode);
	s = s ? s : turn_socket_new(task, fd, inode, false);
	if (!s || !s->row)
		return;
	if (s->turn && s->turn != turn && s->window == turn_window &&
	    turn == (s->served ? TURN_SEND : TURN_RECEIVE)) {
		h = bpf_map_lookup_elem(&turn_hist, &s->row);
		if (h && now > s->ns)
			hist_record_atomic(h, now - s->ns);
	}
	/* More of the same request: served, it has begun already; sent, it is not complete yet. */
	if (s->served && s->turn == turn && s->window == turn_window)
		return;
	s->ns = s->served ? now : begin_ns;
	s->turn = turn;
	s->window = turn_window;
}

#endif
