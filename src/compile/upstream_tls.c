// SPDX-License-Identifier: Apache-2.0
#include "compile/upstream_tls.h"

void upstream_tls_of_policy(struct compiler *c, struct cluster *cluster,
                            const struct policy_tls *policy)
{
    const struct client_tls *tls = policy->tls;
    if (tls->mode == CLIENT_TLS_DISABLE)
        return;
    cluster->is_unserved_protocol = true;
    complain(c, DIAG_UPSTREAM_TLS, policy->object, tls->line, tls->col, policy->path,
             "TLS to the endpoints is not served; requests are answered 502");
}

void upstream_tls_of_ingress(struct compiler *c, struct cluster *cluster,
                             const struct upstream_tls *tls)
{
    (void)c;
    (void)tls;
    cluster->is_unserved_protocol = true;
}
