// SPDX-License-Identifier: Apache-2.0
// What is wrong with the way that bytes go to a host that is there: plain HTTP to a port that
// speaks TLS, TLS within TLS, no server name to ask for. Only reports. Control thread.
#pragma once
#include "compile/catalog.h"
#include "compile/virtual_service.h"

struct way { // of one destination of a route
    const struct object *object;
    const struct http_destination *destination;
    const struct catalog_host *host;
    const struct catalog_port *port;
    const struct cluster *cluster;
    struct str path; // of the destination
    enum way_kind kind;
};
void way_report(struct compiler *c, const struct way *way);
// The same of a ServiceEntry's host by itself: ports that say what they hardly are.
void way_report_entry(struct compiler *c, const struct catalog_host *host);
