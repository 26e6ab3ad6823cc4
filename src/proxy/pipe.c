// SPDX-License-Identifier: Apache-2.0
// Pipes that bytes are spliced through from socket to socket: a worker keeps some.
#include "proxy/worker.h"
#include <fcntl.h>
#include <unistd.h>

bool worker_take_pipe(struct worker *worker, int pipe[2])
{
    if (worker->n_pipes > 0) {
        memcpy(pipe, worker->pipes[--worker->n_pipes], sizeof *worker->pipes);
        return true;
    }
    if (pipe2(pipe, O_NONBLOCK | O_CLOEXEC) < 0) {
        pipe[0] = pipe[1] = -1;
        return false;
    }
    fcntl(pipe[0], F_SETPIPE_SZ, PIPE_BYTES); // smaller is slower, not wrong
    return true;
}

void worker_give_pipe(struct worker *worker, int pipe[2], bool is_empty)
{
    if (is_empty && worker->n_pipes < PIPES_KEPT) {
        memcpy(worker->pipes[worker->n_pipes++], pipe, sizeof *worker->pipes);
    } else {
        close(pipe[0]);
        close(pipe[1]);
    }
    pipe[0] = pipe[1] = -1;
}
