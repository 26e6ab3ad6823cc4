// SPDX-License-Identifier: Apache-2.0
// The domains below which names are looked for: `search` and `domain` of resolv.conf, or the
// environment's LOCALDOMAIN. c-ares could do it, but for one family at a time: a name whose IPv4
// address is found as it stands must not get IPv6 addresses of another one below a search domain.
#pragma once
#include "base/str.h"

enum { SEARCH_DOMAINS_MAX = 6 };

struct search_list {
    char *text; // owned
    struct str domains[SEARCH_DOMAINS_MAX];
    unsigned n;
};
void search_list_read(struct search_list *list, const char *resolv_conf); // unreadable: empty
void search_list_fini(struct search_list *list);
