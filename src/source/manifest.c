// SPDX-License-Identifier: Apache-2.0
#include "source/manifest.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/doc.h"
#include "base/map.h"
#include "source/notes.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    NAME_BYTES_MAX = 512, // of namespace and name together; longer ones are no valid names
    SCRATCH_BYTES = 16 * 1024,
};
#define FILE_BYTES_MAX (INT64_C(512) * 1024 * 1024)
// Writes within one tick of the file system's clock leave the same times behind: a file read that
// soon after its last change is read again when next asked for. Two seconds is the coarsest clock.
#define RACY_NS (INT64_C(2) * 1000 * 1000 * 1000)

struct document {
    uint64_t hash;
    uint32_t bytes;
    uint32_t line;         // its first one in the file
    uint32_t decoded_line; // the same when it was decoded, which is what the notes count by
    uint32_t n_claims;
    struct claim *claims;
    struct notes *notes;
    bool is_unreadable; // which objects are in it cannot be told
    bool is_kept;       // taken over into the new version of the file
};

struct file_stamp {
    dev_t dev;
    ino_t ino;
    int64_t size, modified_ns, changed_ns;
};

struct manifest {
    char *path;
    size_t path_len;
    struct document *documents, *ghosts;
    uint32_t n_documents, n_ghosts;
    struct notes *notes; // about the file as a whole
    struct file_stamp stamp;
    int64_t read_ns; // wall clock; 0: never
    unsigned generation;
    bool is_unreadable;
};

struct part { // of a file's new text
    struct str text;
    uint64_t hash;
    uint32_t line;
    struct document *same; // known so far, unchanged
};

struct taking { // one run of manifest_take
    struct manifest *manifest;
    struct store *store;
    struct arena *scratch;
    struct part *parts;
    struct document *documents; // one a part
    uint32_t n, cap;
    struct diags *diags;
    bool is_changed;
};

struct manifest *manifest_create(struct str path)
{
    struct manifest *manifest = calloc(1, sizeof(*manifest));
    CHECK(manifest != NULL);
    manifest->path = malloc(path.len + 1);
    CHECK(manifest->path != NULL);
    memcpy(manifest->path, path.ptr, path.len);
    manifest->path[path.len] = '\0';
    manifest->path_len = path.len;
    return manifest;
}

struct str manifest_path(const struct manifest *manifest)
{
    return (struct str){manifest->path, manifest->path_len};
}

unsigned manifest_generation(const struct manifest *manifest)
{
    return manifest->generation;
}

void manifest_set_generation(struct manifest *manifest, unsigned generation)
{
    manifest->generation = generation;
}

static void withdraw_document(struct store *store, struct document *document)
{
    for (uint32_t i = 0; i < document->n_claims; i++) {
        if (document->claims[i].identity)
            store_withdraw(store, &document->claims[i]);
    }
    free(document->claims);
    notes_destroy(document->notes);
    document->claims = NULL;
    document->notes = NULL;
}

void manifest_destroy(struct manifest *manifest, struct store *store)
{
    if (!manifest)
        return;
    for (uint32_t i = 0; i < manifest->n_documents; i++)
        withdraw_document(store, &manifest->documents[i]);
    for (uint32_t i = 0; i < manifest->n_ghosts; i++)
        withdraw_document(store, &manifest->ghosts[i]);
    free(manifest->documents);
    free(manifest->ghosts);
    notes_destroy(manifest->notes);
    free(manifest->path);
    free(manifest);
}

// --- taking up a new text ----------------------------------------------------------------------

// Whether a document begins at `at`, as doc_split sees it, whatever came before.
static bool is_boundary(struct str text, size_t at)
{
    struct str rest = str_from(text, at);
    return str_has_prefix(rest, STR("---")) &&
           (rest.len == 3 || (rest.ptr[3] && strchr(" \t\r\n", rest.ptr[3])));
}

// Whether the text at `at` is the i-th known document and nothing more. The last one ended with the
// file, so it must do so again.
static bool is_known_at(const struct manifest *manifest, uint32_t i, struct str text, size_t at)
{
    const struct document *known = &manifest->documents[i];
    size_t end = at + known->bytes;
    bool is_last = i + 1 == manifest->n_documents;
    if (end > text.len || (is_last ? end != text.len : !is_boundary(text, end)))
        return false;
    return hash_bytes(text.ptr + at, known->bytes) == known->hash;
}

// Cutting at known documents saves looking at each line: of a large file most of the text is what
// it was. `*next` is the known document that is expected here; a few to both sides are tried, too.
static struct document *find_known_at(const struct manifest *manifest, struct str text, size_t at,
                                      uint32_t *next)
{
    enum { AROUND = 2 };
    uint32_t first = *next > AROUND ? *next - AROUND : 0;
    if (*next < manifest->n_documents && is_known_at(manifest, *next, text, at))
        return &manifest->documents[(*next)++];
    for (uint32_t i = first; i < manifest->n_documents && i <= *next + AROUND; i++) {
        if (i != *next && is_known_at(manifest, i, text, at)) {
            *next = i + 1;
            return &manifest->documents[i];
        }
    }
    ++*next; // as if it stood in the place of the expected one
    return NULL;
}

static void grow_parts(struct taking *taking)
{
    enum { SPARE = 8 }; // most often there are as many as before, or a few more
    taking->cap = taking->cap ? taking->cap * 2 : taking->manifest->n_documents + SPARE;
    struct part *larger = arena_alloc(taking->scratch, taking->cap * sizeof(*larger));
    if (taking->n)
        memcpy(larger, taking->parts, taking->n * sizeof(*larger));
    taking->parts = larger;
}

// The next document's beginning ends one, and so does `...`.
static void leave_out_unended(struct taking *taking)
{
    if (taking->n == 0)
        return;
    const struct part *last = &taking->parts[taking->n - 1];
    if (!last->same && !str_has_suffix(str_trim(last->text), STR("\n...")))
        taking->n--;
}

static void split(struct taking *taking, struct str text, bool is_unfinished)
{
    const struct manifest *manifest = taking->manifest;
    size_t cursor = 0;
    uint32_t line = 1, next = 0;
    while (cursor < text.len) {
        struct part part = {.same = find_known_at(manifest, text, cursor, &next)};
        if (part.same) {
            bool is_last = part.same == &manifest->documents[manifest->n_documents - 1];
            part.text = (struct str){text.ptr + cursor, part.same->bytes};
            part.hash = part.same->hash;
            part.line = line;
            cursor += part.same->bytes;
            line += is_last ? 0 : part.same[1].line - part.same->line;
        } else if (doc_split(text, &cursor, &line, &part.text, &part.line)) {
            part.hash = hash_bytes(part.text.ptr, part.text.len);
        } else {
            break;
        }
        if (taking->n == taking->cap)
            grow_parts(taking);
        taking->parts[taking->n++] = part;
    }
    if (is_unfinished)
        leave_out_unended(taking);
    taking->documents = calloc(taking->n ? taking->n : 1, sizeof(*taking->documents));
    CHECK(taking->documents != NULL);
}

// The document moves over with its claims; where it stands may have changed.
static void keep(struct taking *taking, struct document *old, uint32_t at)
{
    const struct part *part = &taking->parts[at];
    struct document *document = &taking->documents[at];
    *document = *old;
    old->is_kept = true;
    if (document->line == part->line)
        return;
    uint32_t delta = part->line - document->line; // wraps both ways
    document->line = part->line;
    taking->is_changed = true;
    for (uint32_t i = 0; i < document->n_claims; i++) {
        struct claim *claim = &document->claims[i];
        claim->line += delta;
        if (claim->object && !claim->is_stand_in)
            claim->object->first_line += delta;
        if (store_has_duplicates(taking->store))
            store_refresh(taking->store, claim);
    }
}

static bool is_same(const struct document *document, const struct part *part)
{
    return document->hash == part->hash && document->bytes == part->text.len;
}

// What stands elsewhere in the file now is found by its hash.
static void keep_moved(struct taking *taking)
{
    struct document *old = taking->manifest->documents;
    uint32_t n_old = taking->manifest->n_documents;
    struct map *by_hash = map_create();
    for (uint32_t i = 0; i < n_old; i++) {
        if (!old[i].is_kept)
            map_put(by_hash, (struct str){(const char *)&old[i].hash, sizeof(old[i].hash)},
                    &old[i]);
    }
    for (uint32_t i = 0; i < taking->n && map_count(by_hash); i++) {
        const struct part *part = &taking->parts[i];
        struct document *same =
            map_find(by_hash, (struct str){(const char *)&part->hash, sizeof(part->hash)});
        if (taking->documents[i].line == 0 && same && !same->is_kept && is_same(same, part))
            keep(taking, same, i);
    }
    map_destroy(by_hash);
}

// Documents that are in both versions.
static void keep_unchanged(struct taking *taking)
{
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < taking->n; i++) {
        // The same known one may have been met twice: the first has it.
        if (taking->parts[i].same && !taking->parts[i].same->is_kept) {
            keep(taking, taking->parts[i].same, i);
            n_kept++;
        }
    }
    if (n_kept < taking->n && n_kept < taking->manifest->n_documents)
        keep_moved(taking);
}

static void mark_leaving(struct document *documents, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < documents[i].n_claims && !documents[i].is_kept; j++)
            documents[i].claims[j].is_leaving = true;
    }
}

// This file's former claim of the identity, with an object to give.
static struct claim *find_former(const struct taking *taking, enum kind kind, struct str ns,
                                 struct str name)
{
    for (struct claim *claim = store_claims(taking->store, kind, ns, name); claim;
         claim = claim->next) {
        if (claim->is_leaving && claim->object && claim->file.ptr == taking->manifest->path)
            return claim;
    }
    return NULL;
}

// What is wrong with the new version is told now if it stays out; if not, whoever looks at it finds
// it by himself.
static bool is_worse(struct taking *taking, const struct object *object,
                     const struct object *former)
{
    struct diags *mistakes = diags_create(), *known = diags_create();
    enum soundness is = store_check(taking->store, object, mistakes);
    bool is_it = is != OBJECT_SOUND && is > store_check(taking->store, former, known);
    if (is_it)
        diags_add_all(taking->diags, mistakes);
    diags_destroy(mistakes);
    diags_destroy(known);
    return is_it;
}

// A version with mistakes does not displace one without.
static void keep_last_good(struct taking *taking, struct claim *claim, enum kind kind,
                           struct str ns, struct str name)
{
    struct claim *former = find_former(taking, kind, ns, name);
    if (!former || (claim->object && !is_worse(taking, claim->object, former->object)))
        return;
    object_destroy(claim->object);
    claim->object = former->object;
    claim->object->is_last_good = true;
    claim->is_stand_in = true;
    former->object = NULL;
    diags_add(taking->diags, DIAG_KEPT_LAST_GOOD,
              (struct place){claim->file, claim->line, claim->col}, claim->object->title, STR_NONE,
              "the version without mistakes stays in force until this one is mended");
}

static bool is_storable(struct str ns, struct str name)
{
    return ns.len + name.len <= NAME_BYTES_MAX;
}

static void add_claims(struct taking *taking, struct document *document,
                       const struct decode_result *result)
{
    struct str file = manifest_path(taking->manifest);
    bool is_first = taking->manifest->n_documents + taking->manifest->n_ghosts == 0;
    document->claims = calloc(result->n + result->n_broken + 1, sizeof(*document->claims));
    CHECK(document->claims != NULL);
    for (uint32_t i = 0; i < result->n; i++) {
        struct object *object = result->objects[i];
        struct claim *claim = &document->claims[document->n_claims++];
        *claim = (struct claim){
            .object = object,
            .file = file,
            .line = object->first_line + object->name_line - 1,
            .col = object->name_col,
        };
        enum kind kind = object->kind;
        struct str ns = object->ns, name = object->name;
        if (is_first) { // no older versions
            store_add(taking->store, claim, kind, ns, name);
            continue;
        }
        // The key must outlive the object, which may be dropped for its last good version.
        char bytes[NAME_BYTES_MAX];
        if (ns.len)
            memcpy(bytes, ns.ptr, ns.len);
        memcpy(bytes + ns.len, name.ptr, name.len);
        ns.ptr = bytes;
        name.ptr = bytes + ns.len;
        keep_last_good(taking, claim, kind, ns, name);
        store_add(taking->store, claim, kind, ns, name);
    }
    for (uint32_t i = 0; i < result->n_broken; i++) {
        const struct object_key *key = &result->broken[i];
        if (!is_storable(key->ns, key->name))
            continue;
        struct claim *claim = &document->claims[document->n_claims++];
        *claim = (struct claim){.file = file, .line = key->line, .col = key->col};
        keep_last_good(taking, claim, key->kind, key->ns, key->name);
        store_add(taking->store, claim, key->kind, key->ns, key->name);
    }
    if (document->n_claims == 0) {
        free(document->claims);
        document->claims = NULL;
    }
}

static void decode_part(struct taking *taking, uint32_t at)
{
    const struct part *part = &taking->parts[at];
    struct document *document = &taking->documents[at];
    struct decode_result result;
    struct arena *scratch = arena_create(SCRATCH_BYTES);
    size_t from = diags_count(taking->diags);
    decode_document(scratch, part->text, manifest_path(taking->manifest), part->line, taking->diags,
                    &result);
    *document = (struct document){
        .hash = part->hash,
        .bytes = (uint32_t)part->text.len,
        .line = part->line,
        .decoded_line = part->line,
        .is_unreadable = result.is_unreadable,
    };
    add_claims(taking, document, &result);
    document->notes = notes_pack(taking->diags, from, result.skipped, result.n_skipped);
    arena_destroy(scratch);
}

// Whether the file's new version says something about the identity.
static bool is_claimed_anew(const struct taking *taking, const struct claim *claim)
{
    enum kind kind;
    struct str ns, name;
    identity_of(claim, &kind, &ns, &name);
    for (const struct claim *other = store_claims(taking->store, kind, ns, name); other;
         other = other->next) {
        if (!other->is_leaving && other->file.ptr == taking->manifest->path)
            return true;
    }
    return false;
}

// Withdraws what is gone from the file. With `keeps_missing` what nothing else is said about stays.
static void leave(struct taking *taking, struct document *document, bool keeps_missing,
                  struct document **ghosts, uint32_t *n_ghosts)
{
    bool has_kept = false;
    for (uint32_t i = 0; i < document->n_claims; i++) {
        struct claim *claim = &document->claims[i];
        if (!claim->identity)
            continue;
        if (keeps_missing && claim->object && !is_claimed_anew(taking, claim)) {
            claim->is_leaving = false;
            has_kept = true;
        } else {
            store_withdraw(taking->store, claim);
        }
    }
    if (!has_kept) {
        withdraw_document(taking->store, document);
        return;
    }
    *ghosts = realloc(*ghosts, (*n_ghosts + 1) * sizeof(**ghosts));
    CHECK(*ghosts != NULL);
    notes_destroy(document->notes);
    document->notes = NULL;
    (*ghosts)[(*n_ghosts)++] = *document;
}

// While the file has an unreadable part, the objects that may be in it stay as last good ones.
static void mark_ghosts(struct manifest *manifest, bool is_broken)
{
    for (uint32_t i = 0; i < manifest->n_ghosts; i++) {
        for (uint32_t j = 0; j < manifest->ghosts[i].n_claims; j++) {
            struct claim *claim = &manifest->ghosts[i].claims[j];
            if (claim->object)
                claim->object->is_last_good = is_broken || claim->is_stand_in;
        }
    }
}

static void replace_documents(struct taking *taking, bool is_unfinished)
{
    struct manifest *manifest = taking->manifest;
    bool has_unreadable = false;
    for (uint32_t i = 0; i < taking->n; i++)
        has_unreadable |= taking->documents[i].is_unreadable;
    struct document *ghosts = NULL;
    uint32_t n_ghosts = 0;
    bool keeps_missing = has_unreadable || is_unfinished;
    for (uint32_t i = 0; i < manifest->n_documents; i++) {
        if (!manifest->documents[i].is_kept)
            leave(taking, &manifest->documents[i], keeps_missing, &ghosts, &n_ghosts);
    }
    for (uint32_t i = 0; i < manifest->n_ghosts; i++)
        leave(taking, &manifest->ghosts[i], keeps_missing, &ghosts, &n_ghosts);
    free(manifest->documents);
    free(manifest->ghosts);
    manifest->documents = taking->documents;
    manifest->n_documents = taking->n;
    manifest->ghosts = ghosts;
    manifest->n_ghosts = n_ghosts;
    mark_ghosts(manifest, has_unreadable);
}

enum manifest_result manifest_take(struct manifest *manifest, struct store *store, struct str text,
                                   bool is_unfinished)
{
    struct taking taking = {.manifest = manifest, .store = store, .scratch = arena_create(0)};
    split(&taking, text, is_unfinished);
    keep_unchanged(&taking);
    mark_leaving(manifest->documents, manifest->n_documents);
    mark_leaving(manifest->ghosts, manifest->n_ghosts);
    uint32_t n_kept = 0;
    taking.diags = diags_create();
    for (uint32_t i = 0; i < taking.n; i++) {
        // A kept document came with its line; no document begins at line 0.
        if (taking.documents[i].line != 0)
            n_kept++;
        else
            decode_part(&taking, i);
    }
    diags_destroy(taking.diags);
    taking.is_changed |= n_kept < taking.n || n_kept < manifest->n_documents || manifest->n_ghosts;
    replace_documents(&taking, is_unfinished);
    arena_destroy(taking.scratch);
    if (!taking.is_changed)
        return MANIFEST_UNCHANGED;
    store_touch(store);
    return MANIFEST_CHANGED;
}

// --- reading the file --------------------------------------------------------------------------

static int64_t to_ns(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static bool is_stamp_equal(const struct file_stamp *a, const struct file_stamp *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->modified_ns == b->modified_ns && a->changed_ns == b->changed_ns;
}

// Its objects stay; the reason is said and they count as last good ones.
static enum manifest_result set_unreadable(struct manifest *manifest, struct store *store,
                                           const char *why)
{
    if (manifest->is_unreadable)
        return MANIFEST_UNCHANGED;
    struct diags *diags = diags_create();
    diags_add(diags, DIAG_FILE_UNREADABLE, (struct place){.file = manifest_path(manifest)},
              STR_NONE, STR_NONE, "%s", why);
    notes_destroy(manifest->notes);
    manifest->notes = notes_pack(diags, 0, NULL, 0);
    diags_destroy(diags);
    manifest->is_unreadable = true;
    for (uint32_t i = 0; i < manifest->n_documents; i++) {
        for (uint32_t j = 0; j < manifest->documents[i].n_claims; j++) {
            struct object *object = manifest->documents[i].claims[j].object;
            if (object)
                object->is_last_good = true;
        }
    }
    store_touch(store);
    return MANIFEST_CHANGED;
}

static bool set_readable(struct manifest *manifest)
{
    if (!manifest->is_unreadable)
        return false;
    manifest->is_unreadable = false;
    notes_destroy(manifest->notes);
    manifest->notes = NULL;
    for (uint32_t i = 0; i < manifest->n_documents; i++) {
        for (uint32_t j = 0; j < manifest->documents[i].n_claims; j++) {
            struct claim *claim = &manifest->documents[i].claims[j];
            if (claim->object)
                claim->object->is_last_good = claim->is_stand_in;
        }
    }
    return true;
}

// The whole content, in an arena since a large file is then in huge pages; false and errno.
static bool read_whole(int fd, int64_t size, struct arena *arena, struct str *ret_text)
{
    if (size > FILE_BYTES_MAX) { // before there is room for it: a sparse file may claim anything
        errno = EFBIG;
        return false;
    }
    size_t len = 0, room = (size_t)size + 1; // one more, to see the end
    char *text = arena_alloc(arena, room);
    for (;;) {
        ssize_t got = read(fd, text + len, room - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        if (got == 0)
            break;
        len += (size_t)got;
        if ((int64_t)len > FILE_BYTES_MAX) {
            errno = EFBIG;
            return false;
        }
        if (len == room) { // it has grown
            char *larger = arena_alloc(arena, room *= 2);
            text = memcpy(larger, text, len);
        }
    }
    *ret_text = (struct str){text, len};
    return true;
}

static enum manifest_result take_file(struct manifest *manifest, struct store *store, int fd,
                                      const struct file_stamp *stamp, bool is_unfinished,
                                      const struct manifest_guard *guard)
{
    int64_t now_ns = clock_wall_ns();
    enum manifest_result result = MANIFEST_UNCHANGED;
    struct arena *arena = arena_create(0);
    struct str text;
    if (read_whole(fd, stamp->size, arena, &text)) {
        is_unfinished |= guard->is_being_written(guard->arg, manifest_path(manifest));
        bool was_unreadable = set_readable(manifest);
        result = manifest_take(manifest, store, text, is_unfinished);
        if (was_unreadable && result == MANIFEST_UNCHANGED) {
            store_touch(store);
            result = MANIFEST_CHANGED;
        }
        manifest->stamp = *stamp;
        manifest->read_ns = is_unfinished ? 0 : now_ns;
    } else {
        result = set_unreadable(manifest, store, strerror(errno));
    }
    arena_destroy(arena);
    return result;
}

enum manifest_result manifest_read(struct manifest *manifest, struct store *store,
                                   enum manifest_read_mode mode, const struct manifest_guard *guard)
{
    int fd = open(manifest->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? MANIFEST_GONE
                   : set_unreadable(manifest, store, strerror(errno));
    struct stat status;
    enum manifest_result result = MANIFEST_UNCHANGED;
    if (fstat(fd, &status) != 0) {
        result = set_unreadable(manifest, store, strerror(errno));
    } else if (!S_ISREG(status.st_mode)) {
        result = set_unreadable(manifest, store, "is not a regular file");
    } else {
        struct file_stamp stamp = {
            .dev = status.st_dev,
            .ino = status.st_ino,
            .size = status.st_size,
            .modified_ns = to_ns(status.st_mtim),
            .changed_ns = to_ns(status.st_ctim),
        };
        bool is_racy = stamp.modified_ns > manifest->read_ns - RACY_NS ||
                       stamp.changed_ns > manifest->read_ns - RACY_NS;
        bool is_known = manifest->read_ns != 0 && !manifest->is_unreadable && !is_racy &&
                        is_stamp_equal(&stamp, &manifest->stamp);
        if (!(mode == MANIFEST_IF_CHANGED && is_known))
            result = take_file(manifest, store, fd, &stamp, mode == MANIFEST_UNFINISHED, guard);
    }
    close(fd);
    return result;
}

// --- diagnostics -------------------------------------------------------------------------------

struct passed_over { // objects of a kind that is not ours
    struct str kind, api_version, meant;
    uint32_t line, col, count;
};

static void add_passed_over(struct passed_over **list, size_t *n, const struct note *note,
                            uint32_t line)
{
    for (size_t i = 0; i < *n; i++) {
        if (str_equal((*list)[i].kind, note->object) &&
            str_equal((*list)[i].api_version, note->path)) {
            (*list)[i].count += note->count;
            return;
        }
    }
    *list = realloc(*list, (*n + 1) * sizeof(**list));
    CHECK(*list != NULL);
    (*list)[(*n)++] = (struct passed_over){
        .kind = note->object,
        .api_version = note->path,
        .meant = note->hint,
        .line = line,
        .col = note->col,
        .count = note->count,
    };
}

static void report_passed_over(const struct manifest *manifest, const struct passed_over *list,
                               size_t n, struct diags *out)
{
    for (size_t i = 0; i < n; i++) {
        struct place place = {manifest_path(manifest), list[i].line, list[i].col};
        struct diag *diag = diags_add(out, DIAG_KIND_NOT_SERVED, place, list[i].kind, STR_NONE,
                                      "%u object%s of %.*s %s passed over", list[i].count,
                                      list[i].count == 1 ? "" : "s", STR_ARG(list[i].api_version),
                                      list[i].count == 1 ? "is" : "are");
        if (list[i].meant.len)
            diag_hint(out, diag, "did you mean \"%.*s\"?", STR_ARG(list[i].meant));
    }
}

static void report_note(const struct manifest *manifest, const struct note *note, uint32_t line,
                        struct diags *out)
{
    struct place place = {manifest_path(manifest), line, note->col};
    struct diag *diag =
        diags_add(out, note->code, place, note->object, note->path, "%.*s", STR_ARG(note->message));
    if (note->hint.len)
        diag_hint(out, diag, "%.*s", STR_ARG(note->hint));
}

static void report_ghosts(const struct manifest *manifest, struct diags *out)
{
    for (uint32_t i = 0; i < manifest->n_ghosts; i++) {
        for (uint32_t j = 0; j < manifest->ghosts[i].n_claims; j++) {
            const struct object *object = manifest->ghosts[i].claims[j].object;
            if (object && object->is_last_good)
                diags_add(out, DIAG_KEPT_LAST_GOOD, (struct place){.file = manifest_path(manifest)},
                          object->title, STR_NONE,
                          "stays in force until every document of the file says what it is again");
        }
    }
}

void manifest_report(const struct manifest *manifest, struct diags *out)
{
    struct passed_over *list = NULL;
    size_t n = 0, cursor = 0;
    struct note note;
    while (notes_next(manifest->notes, &cursor, &note))
        report_note(manifest, &note, note.line, out);
    for (uint32_t i = 0; i < manifest->n_documents; i++) {
        const struct document *document = &manifest->documents[i];
        cursor = 0;
        while (notes_next(document->notes, &cursor, &note)) {
            uint32_t line = note.line ? note.line + document->line - document->decoded_line : 0;
            if (note.count)
                add_passed_over(&list, &n, &note, line);
            else
                report_note(manifest, &note, line, out);
        }
    }
    report_passed_over(manifest, list, n, out);
    report_ghosts(manifest, out);
    free(list);
}
