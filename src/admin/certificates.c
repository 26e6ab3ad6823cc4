// SPDX-License-Identifier: Apache-2.0
#include "admin/certificates.h"
#include "base/map.h"

static bool is_before(const struct certificate *a, const struct certificate *b)
{
    if (a->not_after_s != b->not_after_s)
        return a->not_after_s < b->not_after_s;
    return str_compare(a->source, b->source) < 0;
}

// Keeps `ret` sorted and at most `max` long; the latest falls out.
static uint32_t insert(const struct certificate **ret, uint32_t n, uint32_t max,
                       const struct certificate *certificate)
{
    uint32_t at = n;
    while (at > 0 && is_before(certificate, ret[at - 1]))
        at--;
    if (at == max)
        return n;
    if (n < max)
        n++;
    for (uint32_t i = n - 1; i > at; i--)
        ret[i] = ret[i - 1];
    ret[at] = certificate;
    return n;
}

static uint32_t add_chain(struct map *seen, const struct filter_chain *chain,
                          const struct certificate **ret, uint32_t n, uint32_t max)
{
    for (uint16_t i = 0; i < chain->n_certificates; i++) {
        const struct certificate *certificate = &chain->certificates[i];
        // One of our own making is new with every start.
        if (certificate->not_after_s && !map_put(seen, certificate->source, seen))
            n = insert(ret, n, max, certificate);
    }
    return n;
}

uint32_t certificates_soonest(const struct snapshot *snapshot, const struct certificate **ret,
                              uint32_t max)
{
    struct map *seen = map_create();
    uint32_t n = 0;
    for (uint32_t i = 0; i < snapshot->n_listeners; i++) {
        const struct listener *listener = &snapshot->listeners[i];
        const struct filter_chain *last = NULL;
        for (uint32_t k = 0; k < listener->n_sni_names; k++) {
            const struct filter_chain *chain = listener->sni_names[k]->chain;
            if (chain != last)
                n = add_chain(seen, chain, ret, n, max);
            last = chain;
        }
    }
    map_destroy(seen);
    return n;
}
