/* SPDX-License-Identifier: Apache-2.0 */
/* socket_names.c: what the sockets of a process are connected to. */
#include "collectors/socket_names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/socket_ask.h"
#include "collectors/socket_listening.h"

enum { TCP_LISTEN = 10, LINE_BYTES = 512 };

bool socket_names_end(const void *addr, bool v6, uint32_t port, char *out, size_t size)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	char ip[INET6_ADDRSTRLEN];

	/* An IPv4 address inside IPv6 reads better as what it is. */
	if (v6 && !memcmp(addr, mapped, sizeof(mapped))) {
		addr = (const uint8_t *)addr + sizeof(mapped);
		v6 = false;
	}
	if (!inet_ntop(v6 ? AF_INET6 : AF_INET, addr, ip, sizeof(ip)))
		return false;
	snprintf(out, size, v6 ? "[%s]:%u" : "%s:%u", ip, port);
	return true;
}

/* "0100007F:18EB": words in the byte order of the machine, the port as a number. */
static bool parse_end(const char *hex, bool v6, char *out, size_t size)
{
	uint32_t words[4] = {0};
	unsigned int port;

	for (int i = 0; i < (v6 ? 4 : 1); i++)
		if (sscanf(hex + i * 8, "%8x", &words[i]) != 1)
			return false;
	if (sscanf(hex + (v6 ? 32 : 8), ":%4x", &port) != 1)
		return false;
	if (!words[0] && !words[1] && !words[2] && !words[3]) {
		snprintf(out, size, port ? "*:%u" : "*", port);
		return true;
	}
	return socket_names_end(words, v6, port, out, size);
}

static bool parse_inet(const char *protocol, const char *line, uint64_t *inode, char *name,
		       size_t size)
{
	char local[64], remote[64], here[64], there[64];
	unsigned long long number;
	unsigned int state;
	bool v6 = protocol[strlen(protocol) - 1] == '6', tcp = protocol[0] == 't';

	if (sscanf(line, " %*u: %63s %63s %2x %*s %*s %*s %*u %*u %llu", local, remote, &state,
		   &number) != 4 ||
	    strlen(local) != (v6 ? 37 : 13) || strlen(remote) != strlen(local) ||
	    !parse_end(local, v6, here, sizeof(here)) ||
	    !parse_end(remote, v6, there, sizeof(there)))
		return false;
	*inode = number;
	if (tcp && state == TCP_LISTEN)
		snprintf(name, size, "tcp %s listening", here);
	else
		snprintf(name, size, "%.3s %s %s", protocol, here, there);
	return true;
}

static bool parse_unix(const char *line, uint64_t *inode, char *name, size_t size)
{
	unsigned long long number;
	unsigned int flags;
	int path = 0;

	/* Num RefCount Protocol Flags Type St Inode Path */
	if (sscanf(line, "%*x: %*x %*x %x %*x %*x %llu%n", &flags, &number, &path) != 2 || !path)
		return false;
	*inode = number;
	line += path;
	line += *line == ' ';
	/* __SO_ACCEPTCON of linux/net.h */
	snprintf(name, size, "unix %.100s%s", *line ? line : "unnamed",
		 flags & 0x10000 ? " listening" : "");
	return true;
}

bool socket_names_parse(const char *protocol, const char *line, uint64_t *inode, char *name,
			size_t size)
{
	return protocol[0] == 'u' && protocol[1] == 'n'
		       ? parse_unix(line, inode, name, size)
		       : parse_inet(protocol, line, inode, name, size);
}

/* Of "tcp HERE:PORT THERE" or "tcp HERE:PORT listening"; 0: not TCP. Sets the rest. */
static uint32_t local_port(const char *name, const char **rest)
{
	const char *end = strncmp(name, "tcp", 3) ? NULL : strrchr(name, ' ');
	const char *colon = end;

	if (!end)
		return 0;
	*rest = end + 1;
	while (colon > name && *colon != ':')
		colon--;
	return (uint32_t)strtoul(colon + 1, NULL, 10) & 0xffff;
}

static void note_listening(struct socket_ports *ports, const char *name)
{
	const char *rest;
	uint32_t port = local_port(name, &rest);

	if (port && !strcmp(rest, "listening"))
		ports->listening[port / 64] |= 1ull << port % 64;
}

static void set_peer(const struct socket_ports *ports, const struct socket_wanted *w)
{
	const char *rest;
	uint32_t port = local_port(w->name, &rest);

	if (*w->found && port && !(ports->listening[port / 64] >> port % 64 & 1) &&
	    strcmp(rest, "listening") != 0 && strcmp(rest, "*") != 0)
		snapshot_string(w->peer, SNAP_PEER, rest);
}

static uint32_t find_in(pid_t pid, const char *protocol, const struct socket_wanted *want,
			uint32_t n, struct socket_ports *ports)
{
	char path[48], line[LINE_BYTES], name[SNAP_NAME];
	uint32_t found = 0;
	uint64_t inode;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/net/%s", pid, protocol);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (!socket_names_parse(protocol, line, &inode, name, sizeof(name)))
			continue;
		note_listening(ports, name);
		for (uint32_t i = 0; i < n; i++)
			if (want[i].inode == inode && !*want[i].found) {
				snapshot_string(want[i].name, SNAP_NAME, name);
				*want[i].found = true;
				found++;
			}
	}
	fclose(f);
	return found;
}

/* How many need not be looked for: they have answered, or are gone. */
static uint32_t ask_each(const struct socket_wanted *want, uint32_t n)
{
	uint32_t done = 0;

	for (uint32_t i = 0; i < n; i++) {
		int err = want[i].fd < 0
				  ? -ENOENT
				  : socket_ask(want[i].pid, want[i].fd, want[i].inode, want[i].name,
					       SNAP_NAME, want[i].peer, SNAP_PEER);

		*want[i].found = !err || err == -ESTALE || err == -EBADF;
		done += *want[i].found;
	}
	return done;
}

void socket_names_find(pid_t pid, const struct socket_wanted *want, uint32_t n)
{
	/* All that listen are in the first two, whoever is looked for. */
	static const char *const protocols[] = {"tcp", "tcp6", "unix", "udp", "udp6"};
	struct socket_ports ports = {0};
	uint32_t found = ask_each(want, n);

	if (found == n)
		socket_names_listening(pid, &ports);
	else
		for (size_t i = 0;
		     i < sizeof(protocols) / sizeof(protocols[0]) && (i < 2 || found < n); i++)
			found += find_in(pid, protocols[i], want, n, &ports);
	for (uint32_t i = 0; i < n; i++)
		set_peer(&ports, &want[i]);
}

void socket_names_listening(pid_t pid, struct socket_ports *out)
{
	if (!socket_listening_diag(pid, out))
		return;
	find_in(pid, "tcp", NULL, 0, out);
	find_in(pid, "tcp6", NULL, 0, out);
}
