/*
 * listing: one page of a folder, or of the whole tree below it, in an order that does not depend on what
 * changes meanwhile: folder by folder, names by their bytes. A page needs memory for a page, whatever the
 * size of the folder. It ends early when it has read many names and would have to read a folder again; one
 * reading of a folder is what a page needs at the least. Names the north face could not address (not clean
 * UTF-8, too long) are counted, not listed.
 */
#ifndef BROKERD_LISTING_H
#define BROKERD_LISTING_H

#include <jansson.h>

#include "brokerd/header.h"

/* {"entries": [{path, type, size, modified, etag}], "next_cursor": text or null, "omitted": n}: new reference
 * in *ret. root is the volume's data. 0 or -errno. */
int listing_page(int root, const struct list_query *q, json_t **ret);

#endif
