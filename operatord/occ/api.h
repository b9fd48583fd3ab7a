/* api: client_call() for the deployment a command names. */
#ifndef OCC_API_H
#define OCC_API_H

#include "operatord/occ/client.h"

struct args;

int api_call(const struct args *a, const struct request *q, json_t **ret, struct ocu_error *err);
/* Every page of a listing: query has a '?' already, the next page is asked for with &after=<last row's key>.
 */
int api_pages(const struct args *a, const char *query, const char *member, const char *key, json_t **ret,
              struct ocu_error *err);

#endif
