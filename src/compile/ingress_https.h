// SPDX-License-Identifier: Apache-2.0
// Ingress over TLS: certificates of `tls` sections and the default one, client certificates
// (auth-tls-*), on the HTTPS port. All its hosts share one table of virtual hosts; those with the
// same certificate and settings share a filter chain, so that a client may use one HTTP/2
// connection for them. Control thread; lives for the compile.
#pragma once
#include "compile/ingress.h"

struct ingress_https {
    struct compiler *c;
    struct map *certificates; // host of a tls section, lower case -> struct ingress_certificate
    struct map *chains;       // context and flags -> struct builder_chain
    struct builder_listener *listener;
    struct builder_hosts *hosts; // NULL: the HTTPS port is not open
    struct credential *fallback; // the default certificate
    bool has_client_auth;        // some host asks for client certificates
    bool has_passthrough;        // some host is passed through
};

void ingress_https_init(struct ingress_https *tls, struct compiler *c);
void ingress_https_fini(struct ingress_https *tls);
// Takes the tls sections of an Ingress; the oldest Ingress has a host.
void ingress_https_add(struct ingress_https *tls, const struct ingress_entry *ingress);
// Opens the port if anything asks for it. `first`: the oldest Ingress.
void ingress_https_open(struct ingress_https *tls, const struct object *first);
// Certificate, aliases and client certificates of a host; fills in what routes have to know.
void ingress_https_host(struct ingress_https *tls, struct ingress_host *host);
// ingress_passthrough.c: the same of a host whose connections are passed on. false: reported.
bool ingress_passthrough(struct ingress_https *tls, const struct ingress_host *host);
// Hosts of tls sections that no rule names.
void ingress_https_rest(struct ingress_https *tls, const struct map *hosts);
