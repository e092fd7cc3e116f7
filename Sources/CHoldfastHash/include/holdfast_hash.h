// SHA-256 with the processor's own instructions, for one stream or for two that advance side by side.
//
// Each round of one stream waits for the one before, so one stream leaves half of the unit idle; two streams use all of
// it, and cost little more than one. Where the instructions are missing nothing here may be called.
//
// Source: FIPS 180-4; Intel SHA Extensions (2013).

#ifndef HOLDFAST_HASH_H
#define HOLDFAST_HASH_H

#include <stddef.h>
#include <stdint.h>

struct holdfast_sha256 {
    uint32_t state[8];
    uint64_t length;
    uint8_t pending[64];
};

// 1 if the processor has the instructions.
int holdfast_sha256_is_available(void);

void holdfast_sha256_begin(struct holdfast_sha256 *context);
void holdfast_sha256_update(struct holdfast_sha256 *context, const void *bytes, size_t count);

// Advances two different contexts; the common part of both lengths side by side.
void holdfast_sha256_update_pair(
    struct holdfast_sha256 *one, const void *one_bytes, size_t one_count,
    struct holdfast_sha256 *two, const void *two_bytes, size_t two_count);

// Writes the 32 bytes of the digest; the context must begin anew after it.
void holdfast_sha256_finish(struct holdfast_sha256 *context, void *digest);

// The checksum that PostgreSQL keeps in bytes 8 and 9 of a data page: 32 sums beside each other, each as FNV-1a with a
// shift mixed in, and the page's number. Never 0. `size` is the page's, a multiple of 128; `number` counts from the
// relation's first page. Source: PostgreSQL, "Page Checksums" in src/backend/storage/page/README.
uint16_t holdfast_page_checksum(const void *page, size_t size, uint32_t number);

#endif
