// SPDX-License-Identifier: Apache-2.0
#include "dns/search_list.h"
#include "base/check.h"
#include "dns/lookup.h"
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 64 * 1024 };

static struct str read_file(const char *path, char *room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return STR_NONE;
    size_t len = 0;
    ssize_t n;
    while (len < FILE_BYTES_MAX && (n = read(fd, room + len, FILE_BYTES_MAX - len)) > 0)
        len += (size_t)n;
    close(fd);
    return (struct str){room, len};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool next_word(struct str *rest, struct str *ret_word)
{
    while (rest->len > 0 && is_blank(rest->ptr[0]))
        *rest = str_from(*rest, 1);
    size_t len = 0;
    while (len < rest->len && !is_blank(rest->ptr[len]))
        len++;
    *ret_word = str_upto(*rest, len);
    *rest = str_from(*rest, len);
    return len > 0;
}

static void take_domains(struct search_list *list, struct str words)
{
    struct str word;
    list->n = 0;
    while (list->n < SEARCH_DOMAINS_MAX && next_word(&words, &word)) {
        if (word.ptr[word.len - 1] == '.')
            word.len--;
        if (host_name_is_valid(word))
            list->domains[list->n++] = word;
    }
}

void search_list_read(struct search_list *list, const char *resolv_conf)
{
    *list = (struct search_list){.text = malloc(FILE_BYTES_MAX)};
    CHECK(list->text != NULL);
    struct str rest = read_file(resolv_conf, list->text), line, word;
    while (str_next(&rest, '\n', &line)) {
        if (next_word(&line, &word) && (str_is(word, "search") || str_is(word, "domain")))
            take_domains(list, line); // the last one counts
    }
    const char *local = getenv("LOCALDOMAIN");
    if (local && strlen(local) < FILE_BYTES_MAX) {
        size_t len = strlen(local);
        memcpy(list->text, local, len);
        take_domains(list, (struct str){list->text, len});
    }
}

void search_list_fini(struct search_list *list)
{
    free(list->text);
    *list = (struct search_list){0};
}
