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

/*
 * Ports of the target's network that somebody listens at, a bit for each: kept by the reader. They
 * tell connections from before it was watched; the others are seen to be made.
 */
__u32 turn_ports_known = 0;
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

enum { EINPROGRESS = 115, PROTOCOL_TCP = 6, PROTOCOL_UDP = 17, TYPE_STREAM = 1 };
enum { FAMILY_UNIX = 1, FAMILY_INET = 2, FAMILY_INET6 = 10 };

enum turn_origin { ORIGIN_UNKNOWN, ORIGIN_ACCEPTED, ORIGIN_CONNECTED };

static __always_inline bool turn_is_listening(u32 port)
{
	u32 word = port / 64;
	u64 *ports = bpf_map_lookup_elem(&turn_ports, &word);

	return ports && *ports >> port % 64 & 1;
}

/*
 * A connection that was accepted has the address of who listened. One that was made has none, and
 * the other end has it; who bound it to one of its own is taken for who listened, unless seen to
 * connect.
 */
static __always_inline void turn_key_unix(struct sock *sk, enum turn_origin origin,
					  struct contract_turn_key *key)
{
	struct unix_sock *own = (struct unix_sock *)sk, *other;
	struct unix_address *address;
	u32 len;

	if (!bpf_core_type_exists(struct unix_sock) || BPF_CORE_READ(sk, sk_type) != TYPE_STREAM)
		return;
	address = BPF_CORE_READ(own, addr);
	key->served = origin == ORIGIN_ACCEPTED || (origin == ORIGIN_UNKNOWN && address);
	if (!key->served) {
		other = (struct unix_sock *)BPF_CORE_READ(own, peer);
		address = BPF_CORE_READ(other, addr);
	}
	len = BPF_CORE_READ(address, len) - sizeof(address->name[0].sun_family);
	if (!address || !len)
		return;
	/* Or one comparison of len - 1 does for both, from which kernels before 6.2 learn nothing.
	 */
	barrier_var(len);
	if (len > sizeof(key->path))
		return;
	if (!bpf_probe_read_kernel(key->path, len, address->name[0].sun_path))
		key->family = FAMILY_UNIX;
}

/* Whose end counts; family 0 where nobody answers anybody. False: that is not known yet. */
static __always_inline bool turn_key_of(struct sock *sk, enum turn_origin origin,
					struct contract_turn_key *key)
{
	u32 family = BPF_CORE_READ(sk, __sk_common.skc_family), local;

	if (family == FAMILY_UNIX) {
		turn_key_unix(sk, origin, key);
		return true;
	}
	key->protocol = BPF_CORE_READ(sk, sk_protocol);
	if ((family != FAMILY_INET && family != FAMILY_INET6) ||
	    (key->protocol != PROTOCOL_TCP && key->protocol != PROTOCOL_UDP))
		return true;
	local = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (origin == ORIGIN_UNKNOWN && key->protocol == PROTOCOL_TCP) {
		if (!turn_ports_known)
			return false;
		origin = turn_is_listening(local) ? ORIGIN_ACCEPTED : ORIGIN_CONNECTED;
	}
	if (origin == ORIGIN_ACCEPTED) {
		key->port = (u16)local;
		key->served = 1;
		key->family = FAMILY_INET;
		return true;
	}
	key->port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	key->family = key->port ? (u8)family : 0;
	if (family == FAMILY_INET) {
		BPF_CORE_READ_INTO((u32 *)key->addr, sk, __sk_common.skc_daddr);
	} else if (bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) {
		bpf_probe_read_kernel(key->addr, sizeof(key->addr), &sk->__sk_common.skc_v6_daddr);
	}
	return true;
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
								    enum turn_origin origin)
{
	struct contract_turn_socket fresh = {};
	struct contract_turn_key key = {};
	struct file *file = open_file(task, fd);
	struct socket *socket;

	if (!file)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	if (!turn_key_of(BPF_CORE_READ(socket, sk), origin, &key))
		return 0;
	if (key.family)
		fresh.row = turn_row_of(&key);
	fresh.served = key.served;
	bpf_map_update_elem(&turn_sockets, &inode, &fresh, BPF_ANY);
	return bpf_map_lookup_elem(&turn_sockets, &inode);
}

/*
 * The two below are functions of their own, which the verifier goes through once and not on every
 * path that leads to them: that made perftop's start longer by 15 ms.
 */

/* accept gave fd, or connect was called with it, and it or an error was returned. */
__noinline int turn_made(u32 fd, u32 turn, s64 ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	bool accepted = turn == TURN_ACCEPT;
	u64 inode;

	if (ret < 0 && (accepted || ret != -EINPROGRESS))
		return 0;
	inode = fd_inode(task, fd);
	if (inode)
		turn_socket_new(task, fd, inode, accepted ? ORIGIN_ACCEPTED : ORIGIN_CONNECTED);
	return 0;
}

/* A call on a socket that moved data has ended: it took from begin_ns to now. */
__noinline int turn_seen(u32 fd, u32 turn, u64 begin_ns, u64 now)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 inode = fd_inode(task, fd);
	struct contract_turn_socket *s;
	struct contract_hist *h;

	if (!inode)
		return 0;
	s = bpf_map_lookup_elem(&turn_sockets, &inode);
	s = s ? s : turn_socket_new(task, fd, inode, ORIGIN_UNKNOWN);
	if (!s || !s->row)
		return 0;
	if (s->turn && s->turn != turn && s->window == turn_window &&
	    turn == (s->served ? TURN_SEND : TURN_RECEIVE)) {
		h = bpf_map_lookup_elem(&turn_hist, &s->row);
		if (h && now > s->ns)
			hist_record_atomic(h, now - s->ns);
	}
	/* More of the same request: served, it has begun already; sent, it is not complete yet. */
	if (s->served && s->turn == turn && s->window == turn_window)
		return 0;
	s->ns = s->served ? now : begin_ns;
	s->turn = turn;
	s->window = turn_window;
	return 0;
}

#endif
