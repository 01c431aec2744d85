/* SPDX-License-Identifier: Apache-2.0 */
/* term_guard.c: signals of a full-screen program. */
#include "tui/term_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>

static const int soft_signals[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGWINCH, SIGTSTP, SIGCONT};
static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};
enum {
	NSOFT = sizeof(soft_signals) / sizeof(soft_signals[0]),
	NCRASH = sizeof(crash_signals) / sizeof(crash_signals[0]),
};

/* Handlers need the global guard: a signal carries no pointer of ours. */
static struct {
	int pipe[2];
	struct termios modes;
	bool have_modes;
	volatile sig_atomic_t armed;
	volatile sig_atomic_t ending;
	char restore[256];
	size_t restore_len;
	char stack[16384]; /* a stack overflow is a SIGSEGV too */
	struct sigaction old_soft[NSOFT], old_crash[NCRASH];
} guard = {.pipe = {-1, -1}};

/* Async-signal-safe. */
static void restore_terminal(void)
{
	ssize_t n;

	if (!guard.armed)
		return;
	guard.armed = 0;
	n = write(STDOUT_FILENO, guard.restore, guard.restore_len);
	(void)n;
	if (guard.have_modes)
		tcsetattr(STDIN_FILENO, TCSANOW, &guard.modes);
}

static void on_soft(int sig)
{
	int saved = errno;
	unsigned char byte = (unsigned char)sig;
	bool ends = sig == SIGTERM || sig == SIGINT || sig == SIGQUIT || sig == SIGHUP;
	ssize_t n;

	if (ends && guard.ending) {
		restore_terminal();
		_exit(128 + sig);
	}
	if (ends)
		guard.ending = 1;
	n = write(guard.pipe[1], &byte, 1);
	(void)n;
	errno = saved;
}

static void on_crash(int sig)
{
	restore_terminal();
	/* SA_RESETHAND put the default action back: this ends us, with a core where allowed. */
	raise(sig);
}

static void install_handlers(void)
{
	stack_t alt = {.ss_sp = guard.stack, .ss_size = sizeof(guard.stack)};
	struct sigaction sa = {.sa_handler = on_soft, .sa_flags = SA_RESTART};

	sigaltstack(&alt, NULL);
	sigemptyset(&sa.sa_mask);
	for (int i = 0; i < NSOFT; i++)
		sigaction(soft_signals[i], &sa, &guard.old_soft[i]);
	sa.sa_handler = on_crash;
	sa.sa_flags = SA_ONSTACK | (int)SA_RESETHAND | SA_NODEFER;
	for (int i = 0; i < NCRASH; i++)
		sigaction(crash_signals[i], &sa, &guard.old_crash[i]);
}

int term_guard_enter(void)
{
	if (pipe2(guard.pipe, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	guard.have_modes = !tcgetattr(STDIN_FILENO, &guard.modes);
	guard.ending = 0;
	install_handlers();
	return 0;
}

static void append(const char *s)
{
	size_t n = s && s != (char *)-1 ? strlen(s) : 0;

	/* Padding ($<5>) is for hardware of the past; nothing that has these strings needs it. */
	for (size_t i = 0; i < n && guard.restore_len < sizeof(guard.restore); i++) {
		if (s[i] == '$' && s[i + 1] == '<') {
			const char *end = strchr(s + i, '>');

			if (end) {
				i = (size_t)(end - s);
				continue;
			}
		}
		guard.restore[guard.restore_len++] = s[i];
	}
}

void term_guard_arm(void)
{
	guard.restore_len = 0;
	append(tigetstr("sgr0"));
	append(tigetstr("rmkx"));
	append(tigetstr("rmcup"));
	append(tigetstr("cnorm"));
	append("\r\n");
	guard.armed = 1;
}

void term_guard_leave(void)
{
	stack_t off = {.ss_flags = SS_DISABLE};

	guard.armed = 0;
	for (int i = 0; i < NSOFT; i++)
		sigaction(soft_signals[i], &guard.old_soft[i], NULL);
	for (int i = 0; i < NCRASH; i++)
		sigaction(crash_signals[i], &guard.old_crash[i], NULL);
	sigaltstack(&off, NULL);
	for (int i = 0; i < 2; i++) {
		if (guard.pipe[i] >= 0)
			close(guard.pipe[i]);
		guard.pipe[i] = -1;
	}
}

int term_guard_fd(void)
{
	return guard.pipe[0];
}

int term_guard_next(void)
{
	unsigned char byte;

	return read(guard.pipe[0], &byte, 1) == 1 ? byte : 0;
}

void term_guard_stop(void)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL}, mine;

	guard.armed = 0;
	sigemptyset(&dfl.sa_mask);
	sigaction(SIGTSTP, &dfl, &mine);
	raise(SIGTSTP);
	sigaction(SIGTSTP, &mine, NULL);
	/* The shell may have changed the modes of the terminal in between. */
	guard.have_modes = !tcgetattr(STDIN_FILENO, &guard.modes);
	guard.armed = 1;
}
