/* magic: the table. */
#include "brokerd/magic.h"

#include <stdbool.h>
#include <string.h>

static const struct {
	size_t at, len;
	const char *bytes;
	const char *type;
} table[] = {
    {0, 8, "\x89PNG\r\n\x1a\n", "image/png"},
    {0, 3, "\xff\xd8\xff", "image/jpeg"},
    {0, 6, "GIF87a", "image/gif"},
    {0, 6, "GIF89a", "image/gif"},
    {8, 4, "WEBP", "image/webp"},
    {0, 2, "BM", "image/bmp"},
    {0, 5, "%PDF-", "application/pdf"},
    {0, 4, "PK\x03\x04", "application/zip"},
    {0, 4, "PK\x05\x06", "application/zip"},
    {0, 2, "\x1f\x8b", "application/gzip"},
    {0, 3, "BZh", "application/x-bzip2"},
    {0, 6,
     "\xfd"
     "7zXZ\0",
     "application/x-xz"},
    {0, 4, "\x28\xb5\x2f\xfd", "application/zstd"},
    {257, 5, "ustar", "application/x-tar"},
    {0, 16, "SQLite format 3\0", "application/vnd.sqlite3"},
    {4, 4, "ftyp", "video/mp4"},
    {0, 4, "OggS", "application/ogg"},
    {0, 4, "\x1a\x45\xdf\xa3", "video/webm"},
    {0, 3, "ID3", "audio/mpeg"},
    {0, 4, "PAR1", "application/vnd.apache.parquet"},
};

/* UTF-8 without control characters but those of text; a sequence cut at the end of the sample is fine. */
static bool looks_like_text(const unsigned char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		unsigned char c = s[i];
		if (c < 0x80) {
			if ((c < 0x20 && !strchr("\t\n\f\r\x1b", c)) || c == 0x7f || c == 0)
				return false;
			i++;
			continue;
		}
		size_t more = c >= 0xf0 && c < 0xf5   ? 3
		              : c >= 0xe0 && c < 0xf0 ? 2
		              : c >= 0xc2 && c < 0xe0 ? 1
		                                      : 0;
		if (more == 0)
			return false;
		for (size_t k = 1; k <= more && i + k < len; k++)
			if ((s[i + k] & 0xc0) != 0x80)
				return false;
		i += more + 1;
	}
	return true;
}

const char *magic_type(const void *data, size_t len)
{
	const char *p = data;
	if (len > MAGIC_BYTES)
		len = MAGIC_BYTES;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (table[i].at + table[i].len <= len &&
		    memcmp(p + table[i].at, table[i].bytes, table[i].len) == 0)
			return table[i].type;
	if (len > 0 && looks_like_text(data, len))
		return "text/plain; charset=utf-8";
	return "application/octet-stream";
}
