#include "holdfast_hash.h"

#include <string.h>

enum { lanes = 32, checksum_offset = 8 };

static const uint32_t starts[lanes] = {
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
    0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
    0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
    0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
};

// One word for each sum. The sums do not depend on each other, so the compiler can put them side by side.
static void mix(uint32_t sums[lanes], const uint32_t words[lanes]) {
    for (int lane = 0; lane < lanes; lane++) {
        uint32_t mixed = sums[lane] ^ words[lane];
        sums[lane] = (mixed * 16777619u) ^ (mixed >> 17);
    }
}

uint16_t holdfast_page_checksum(const void *page, size_t size, uint32_t number) {
    const unsigned char *bytes = page;
    uint32_t sums[lanes], words[lanes];
    memcpy(sums, starts, sizeof sums);
    for (size_t offset = 0; offset + sizeof words <= size; offset += sizeof words) {
        memcpy(words, bytes + offset, sizeof words);
        // The field itself counts as zero.
        if (offset == 0) { memset((unsigned char *)words + checksum_offset, 0, 2); }
        mix(sums, words);
    }
    memset(words, 0, sizeof words);
    mix(sums, words);
    mix(sums, words);
    uint32_t sum = number;
    for (int lane = 0; lane < lanes; lane++) { sum ^= sums[lane]; }
    return (uint16_t)(sum % 65535 + 1);
}
