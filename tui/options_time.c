/* SPDX-License-Identifier: Apache-2.0 */
/* options_time.c: times as users write them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tui/options.h"

int options_parse_time(const char *text, uint64_t *ns)
{
	static const struct {
		const char *suffix;
		double ns;
	} units[] = {{"", 1e9}, {"s", 1e9},  {"ms", 1e6},   {"us", 1e3},
		     {"ns", 1}, {"m", 60e9}, {"min", 60e9}, {"h", 3600e9}};
	char *end;
	double v;

	/* strtod() takes more than a user would write: "inf", "0x1", " 1". */
	if ((text[0] < '0' || text[0] > '9') && text[0] != '.')
		return -EINVAL;
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		return -EINVAL;
	v = strtod(text, &end);
	if (end == text)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(end, units[i].suffix) && v * units[i].ns < 1e18) {
			*ns = (uint64_t)(v * units[i].ns + 0.5);
			return 0;
		}
	return -EINVAL;
}
