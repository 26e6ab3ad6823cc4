// SPDX-License-Identifier: Apache-2.0
// Stands in for libFuzzer: feeds every file of the folders named, and for each a fixed number of
// variants made from it (the same in every run), so that `meson test` exercises the targets with
// any compiler.
#include "fuzz.h"
#include <dirent.h>
#include <stdio.h>

enum { FILE_BYTES_MAX = 1 << 16, VARIANTS = 300 };

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

// Changes, drops or repeats a few bytes; `data` has room for twice `size`. Returns the new size.
static size_t vary(uint8_t *data, size_t size, uint32_t *random)
{
    for (unsigned n = 1 + next_random(random) % 4; n > 0 && size > 0; n--) {
        size_t at = next_random(random) % size, len = 1 + next_random(random) % 8;
        if (len > size - at)
            len = size - at;
        switch (next_random(random) % 4) {
        case 0:
            data[at] = (uint8_t)next_random(random);
            break;
        case 1:
            data[at] = (uint8_t) "\r\n\t :;,/%\\.0123{}\"'-&*"[next_random(random) % 23];
            break;
        case 2:
            memmove(data + at, data + at + len, size - at - len);
            size -= len;
            break;
        default: // at most 4 times 8 bytes are added
            memmove(data + at + len, data + at, size - at);
            size += len;
            break;
        }
    }
    return size;
}

static void feed_file(const char *path)
{
    static uint8_t original[FILE_BYTES_MAX], variant[FILE_BYTES_MAX + 64];
    FILE *file = fopen(path, "rb");
    CHECK(file);
    size_t size = fread(original, 1, sizeof(original), file);
    CHECK(feof(file)); // a larger one does not belong into a corpus
    fclose(file);
    LLVMFuzzerTestOneInput(original, size);
    uint32_t random = 2463534242u;
    for (unsigned i = 0; i < VARIANTS; i++) {
        memcpy(variant, original, size);
        size_t n = vary(variant, size, &random);
        LLVMFuzzerTestOneInput(variant, n);
    }
}

int main(int argc, char **argv)
{
    unsigned n_files = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        CHECK(folder);
        for (struct dirent *entry; (entry = readdir(folder));) {
            char path[4096];
            if (entry->d_name[0] == '.')
                continue;
            CHECK((size_t)snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name) <
                  sizeof(path));
            feed_file(path);
            n_files++;
        }
        closedir(folder);
    }
    printf("%u files, %u variants of each\n", n_files, (unsigned)VARIANTS);
    return n_files > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
