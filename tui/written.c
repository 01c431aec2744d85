/* SPDX-License-Identifier: Apache-2.0 */
/* written.c: asks the stream once more where an earlier write failed, since only that tells why. */
#include "tui/written.h"

#include <errno.h>

int written(FILE *out)
{
	int failed = 0;

	if (ferror(out)) {
		clearerr(out);
		failed = -EIO;
		fputc('\n', out);
	}
	if (fflush(out))
		failed = -errno;
	return failed == -EPIPE ? 0 : failed;
}
