// SPDX-License-Identifier: Apache-2.0
#include "compile/way.h"
#include "compile/destination_rule.h"
#include "compile/hosts.h"

enum { HTTPS_PORT = 443 };

static struct diag *complain_of(struct compiler *c, enum diag_code code, const struct way *way,
                                struct str message)
{
    const struct text *host = &way->destination->host;
    return complain(c, code, way->object, host->line, host->col, way->path, "%.*s",
                    STR_ARG(message));
}

static struct str policy_place(struct compiler *c, const struct policy_tls *policy)
{
    const struct destination_rule *rule = policy->object->destination_rule;
    uint32_t line = policy->tls ? policy->tls->line : rule->tls_line;
    uint32_t col = policy->tls ? policy->tls->col : rule->tls_col;
    return place_text(c, policy->object, line, col);
}

static void report_no_address(struct compiler *c, const struct way *way)
{
    if (way->host->is_service || c->options->is_sidecar ||
        way->cluster->discovery != CLUSTER_STATIC ||
        catalog_resolution(way->host) != RESOLUTION_NONE)
        return;
    struct diag *diag =
        complain_of(c, DIAG_ENTRY_NO_ADDRESS, way,
                    path_of(c,
                            "%.*s has resolution NONE, and a gateway does not know which "
                            "address the client has dialled: requests are answered 503",
                            STR_ARG(way->host->object->title)));
    diag_hint(c->diags, diag,
              "resolution DNS looks up the host, DYNAMIC_DNS the names below a wildcard");
}

static void report_plain_http(struct compiler *c, const struct way *way)
{
    const struct catalog_port *port = way->port;
    const char *by = "name";
    if (port->of_entry)
        by = "protocol";
    else if (port->of_service->app_protocol.len > 0)
        by = "appProtocol";
    struct diag *diag =
        complain_of(c, DIAG_UPSTREAM_PROTOCOL, way,
                    path_of(c, "port %u of %.*s speaks TLS, by its %s, and gets plain HTTP",
                            (unsigned)port->number, STR_ARG(way->host->object->title), by));
    diag_hint(c->diags, diag,
              "a DestinationRule for %.*s with trafficPolicy.tls.mode SIMPLE makes it TLS",
              STR_ARG(way->host->name));
}

static void report_double_tls(struct compiler *c, const struct way *way)
{
    struct policy_tls policy =
        policy_find_tls(c, way->host->object->ns, way->host->name,
                        text_str(way->destination->subset), way->port->number);
    if (!policy_is_tls(&policy))
        return;
    struct diag *diag = complain_of(
        c, DIAG_DOUBLE_TLS, way,
        path_of(c, "the rule passes clients' TLS on, and %.*s puts it into TLS once more",
                STR_ARG(policy_place(c, &policy))));
    diag_hint(c->diags, diag,
              "leave the tls of the DestinationRule out, or let clients speak plain HTTP and route "
              "it by http");
}

// HTTP brings a Host, TLS that is passed on its server name.
static void report_no_name(struct compiler *c, const struct way *way)
{
    const struct cluster *cluster = way->cluster;
    bool is_looked_up = cluster->discovery == CLUSTER_DYNAMIC_DNS && cluster->dns_name.len == 0;
    bool is_asked_for = cluster->tls && tls_context_goes_by_host(cluster->tls);
    if (is_looked_up)
        diag_hint(c->diags,
                  complain_of(c, DIAG_SNI_MISSING, way,
                              path_of(c,
                                      "connections by tcp bring no name along that could be "
                                      "looked up below \"%.*s\": they are closed",
                                      STR_ARG(way->host->name))),
                  "route TLS by tls and sniHosts, or name one host");
    else if (is_asked_for)
        diag_hint(c->diags,
                  complain_of(c, DIAG_SNI_MISSING, way,
                              path_of(c,
                                      "connections by tcp bring no Host along, so TLS to "
                                      "\"%.*s\" has no server name to send and to verify",
                                      STR_ARG(way->host->name))),
                  "give the sni in the tls of the DestinationRule");
}

static void report_lost_tls(struct compiler *c, const struct way *way)
{
    struct str ns = way->host->object->ns, subset = text_str(way->destination->subset);
    struct policy_tls own = policy_find_tls(c, ns, way->host->name, subset, way->port->number);
    if (own.object) // DISABLE says what is meant
        return;
    struct policy_tls other =
        policy_tls_elsewhere(c, ns, way->host->name, subset, way->port->number);
    if (!other.object)
        return;
    struct str who = subset.len > 0 ? JOIN(c->scratch, STR("subset \""), subset, STR("\""))
                                    : STR("a destination without subset");
    struct diag *diag = complain_of(c, DIAG_SUBSET_WITHOUT_TLS, way,
                                    path_of(c,
                                            "%.*s goes to port %u in plain text: the tls of "
                                            "%.*s does not hold for it",
                                            STR_ARG(who), (unsigned)way->port->number,
                                            STR_ARG(policy_place(c, &other))));
    diag_hint(c->diags, diag,
              "give the tls in spec.trafficPolicy, for all subsets; tls: {mode: DISABLE} if plain "
              "text is meant");
}

void way_report(struct compiler *c, const struct way *way)
{
    const struct cluster *cluster = way->cluster;
    bool is_tls = cluster->tls || cluster->is_unserved_protocol;
    report_no_address(c, way);
    if (way->kind == WAY_HTTP && !is_tls && way->port->protocol == PORT_TLS)
        report_plain_http(c, way);
    if (way->kind == WAY_TLS && is_tls)
        report_double_tls(c, way);
    if (way->kind == WAY_TCP)
        report_no_name(c, way);
    if (way->kind != WAY_TLS && !is_tls)
        report_lost_tls(c, way);
}

// ---- ServiceEntries by themselves ----

static void report_443(struct compiler *c, const struct catalog_host *host,
                       const struct catalog_port *port)
{
    const struct service_entry_port *of = port->of_entry;
    bool leads_there = of->target_port.value == HTTPS_PORT;
    uint32_t index = (uint32_t)(of - port->entry->service_entry->ports);
    if (port->number != HTTPS_PORT && !leads_there)
        return;
    struct diag *diag = complain(
        c, DIAG_HTTP_ON_443, port->entry, of->line, of->col,
        path_item(c, STR("spec"), "ports", index),
        "port %u of \"%.*s\" %s%s: it gets plain HTTP, and TLS that clients bring is taken "
        "for HTTP",
        (unsigned)port->number, STR_ARG(host->name), leads_there ? "leads to 443 and " : "",
        "is declared HTTP");
    diag_hint(c->diags, diag,
              "protocol TLS where clients bring TLS; else a DestinationRule for %.*s with "
              "trafficPolicy.tls.mode SIMPLE",
              STR_ARG(host->name));
}

static void report_own_tls(struct compiler *c, const struct catalog_host *host,
                           const struct catalog_port *port, const struct policy_tls *policy)
{
    const struct service_entry_port *of = port->of_entry;
    struct diag *diag = complain(
        c, DIAG_DOUBLE_TLS, port->entry, of->line, of->col,
        path_item(c, STR("spec"), "ports", (uint32_t)(of - port->entry->service_entry->ports)),
        "clients of port %u of \"%.*s\" bring TLS, and %.*s puts it into TLS once more",
        (unsigned)port->number, STR_ARG(host->name), STR_ARG(policy_place(c, policy)));
    diag_hint(c->diags, diag,
              "leave the tls of the DestinationRule out for this port, or declare "
              "it HTTP and let clients speak plain HTTP");
}

void way_report_entry(struct compiler *c, const struct catalog_host *host)
{
    for (uint32_t i = 0; i < host->n_ports; i++) {
        const struct catalog_port *port = &host->ports[i];
        bool is_http = port->protocol == PORT_HTTP || port->protocol == PORT_HTTP2;
        bool is_tls = port->protocol == PORT_TLS;
        // At a gateway it is the route that says what comes.
        if (!is_http && !(is_tls && c->options->is_sidecar))
            continue;
        struct policy_tls policy =
            policy_find_tls(c, host->object->ns, host->name, STR_NONE, port->number);
        if (is_http && !policy_is_tls(&policy))
            report_443(c, host, port);
        else if (is_tls && policy_is_tls(&policy))
            report_own_tls(c, host, port, &policy);
    }
}
