// SPDX-License-Identifier: Apache-2.0
#include "route/regex.h"
#include "base/check.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

// One match costs at most some milliseconds and one megabyte, whatever the pattern.
enum {
    MATCH_LIMIT = 100000,
    DEPTH_LIMIT = 2000,
    HEAP_LIMIT_KIB = 1024,
    JIT_STACK_MIN = 32 * 1024,
    JIT_STACK_MAX = 256 * 1024,
};

// Two programs of one pattern: the anchors of a whole match must be compiled in, for machine code
// does not know them as options of a match.
struct regex {
    pcre2_code *search;
    pcre2_code *whole; // NULL: not prepared
    bool search_is_jit;
    bool whole_is_jit;
    unsigned flags;
    unsigned prepared;  // for which uses; control thread
    struct str pattern; // behind the struct
};

// What a thread needs for matching; made at its first match, freed when it ends.
struct matcher {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static _Thread_local struct matcher *thread_matcher;

static void destroy_matcher(void *arg)
{
    struct matcher *matcher = arg;
    pcre2_match_data_free(matcher->data);
    pcre2_match_context_free(matcher->context);
    pcre2_jit_stack_free(matcher->stack);
    free(matcher);
}

static void make_key(void)
{
    CHECK(pthread_key_create(&key, destroy_matcher) == 0);
}

static struct matcher *make_matcher(void)
{
    pthread_once(&key_once, make_key);
    struct matcher *matcher = calloc(1, sizeof(*matcher));
    CHECK(matcher);
    matcher->data = pcre2_match_data_create(REGEX_GROUPS_MAX, NULL);
    matcher->context = pcre2_match_context_create(NULL);
    CHECK(matcher->data && matcher->context);
    pcre2_set_match_limit(matcher->context, MATCH_LIMIT);
    pcre2_set_depth_limit(matcher->context, DEPTH_LIMIT);
    pcre2_set_heap_limit(matcher->context, HEAP_LIMIT_KIB);
    matcher->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
    if (matcher->stack) // NULL where PCRE2 has no JIT
        pcre2_jit_stack_assign(matcher->context, NULL, matcher->stack);
    thread_matcher = matcher;
    pthread_setspecific(key, matcher);
    return matcher;
}

static pcre2_code *compile(struct str pattern, uint32_t options, int *ret_error, size_t *ret_offset)
{
    return pcre2_compile((PCRE2_SPTR)(pattern.ptr ? pattern.ptr : ""), pattern.len,
                         options | PCRE2_NEVER_UTF | PCRE2_NEVER_BACKSLASH_C, ret_error, ret_offset,
                         NULL);
}

static uint32_t pcre2_options(unsigned flags)
{
    return flags & REGEX_IGNORE_CASE ? PCRE2_CASELESS : 0;
}

struct regex *regex_compile(struct str pattern, unsigned flags, char *reterr_message,
                            size_t reterr_size, size_t *reterr_offset)
{
    int error;
    size_t offset;
    pcre2_code *search = compile(pattern, pcre2_options(flags), &error, &offset);
    if (!search) {
        if (reterr_size && pcre2_get_error_message(error, (PCRE2_UCHAR *)reterr_message,
                                                   reterr_size) == PCRE2_ERROR_BADDATA)
            snprintf(reterr_message, reterr_size, "error %d", error);
        if (reterr_offset)
            *reterr_offset = offset;
        return NULL;
    }
    struct regex *regex = calloc(1, sizeof(*regex) + pattern.len + 1);
    CHECK(regex);
    regex->search = search;
    regex->flags = flags;
    regex->pattern = (struct str){(char *)(regex + 1), pattern.len};
    if (pattern.len)
        memcpy(regex + 1, pattern.ptr, pattern.len);
    return regex;
}

void regex_destroy(struct regex *regex)
{
    if (!regex)
        return;
    pcre2_code_free(regex->search);
    pcre2_code_free(regex->whole);
    free(regex);
}

void regex_prepare(const struct regex *shared, unsigned uses)
{
    struct regex *regex = (struct regex *)shared; // const is for the workers
    // Snapshots that are being served may share this regex: only what none of them uses yet is
    // written, for they were sealed, and so prepared, before.
    uses &= ~regex->prepared;
    regex->prepared |= uses;
    if (uses & REGEX_FOR_SEARCH)
        regex->search_is_jit = pcre2_jit_compile(regex->search, PCRE2_JIT_COMPLETE) == 0;
    if (uses & REGEX_FOR_WHOLE) {
        int error;
        size_t offset;
        pcre2_code *whole = compile(
            regex->pattern, pcre2_options(regex->flags) | PCRE2_ANCHORED | PCRE2_ENDANCHORED,
            &error, &offset);
        CHECK(whole); // it was compiled once
        regex->whole_is_jit = pcre2_jit_compile(whole, PCRE2_JIT_COMPLETE) == 0;
        regex->whole = whole;
    }
}

static _Thread_local bool gave_up;

bool regex_gave_up(void)
{
    bool was = gave_up;
    gave_up = false;
    return was;
}

// Number of groups set, 0: no match or a limit was hit.
static int match(const pcre2_code *code, bool is_jit, uint32_t options, struct str subject,
                 size_t start)
{
    struct matcher *matcher = thread_matcher ? thread_matcher : make_matcher();
    PCRE2_SPTR text = (PCRE2_SPTR)(subject.ptr ? subject.ptr : "");
    int n =
        is_jit
            ? pcre2_jit_match(code, text, subject.len, start, 0, matcher->data, matcher->context)
            : pcre2_match(code, text, subject.len, start, options, matcher->data, matcher->context);
    if (n < 0) {
        gave_up |= n != PCRE2_ERROR_NOMATCH;
        return 0;
    }
    return n == 0 ? REGEX_GROUPS_MAX : n; // 0: more groups than we keep
}

bool regex_matches_whole(const struct regex *regex, struct str subject)
{
    if (regex->whole)
        return match(regex->whole, regex->whole_is_jit, 0, subject, 0) > 0;
    return match(regex->search, false, PCRE2_ANCHORED | PCRE2_ENDANCHORED, subject, 0) > 0;
}

bool regex_finds(const struct regex *regex, struct str subject)
{
    return match(regex->search, regex->search_is_jit, 0, subject, 0) > 0;
}

unsigned regex_search(const struct regex *regex, struct str subject, size_t start,
                      struct str *ret_groups, unsigned n_groups)
{
    if (start > subject.len)
        return 0;
    unsigned n = (unsigned)match(regex->search, regex->search_is_jit, 0, subject, start);
    if (n > n_groups)
        n = n_groups;
    if (n == 0)
        return 0;
    const size_t *ends = pcre2_get_ovector_pointer(thread_matcher->data);
    for (unsigned i = 0; i < n; i++) {
        size_t from = ends[2 * i], to = ends[2 * i + 1];
        // \K may set the start behind the end.
        ret_groups[i] = from == PCRE2_UNSET || from > to
                            ? STR_NONE
                            : (struct str){subject.ptr + from, to - from};
    }
    return n;
}

struct str regex_pattern(const struct regex *regex)
{
    return regex->pattern;
}

unsigned regex_flags(const struct regex *regex)
{
    return regex->flags;
}
