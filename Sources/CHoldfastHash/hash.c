#include "holdfast_hash.h"

#include <string.h>

void holdfast_sha256_begin(struct holdfast_sha256 *context) {
    static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(context->state, initial, sizeof initial);
    context->length = 0;
}

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define WITH_SHA __attribute__((target("sha,sse4.1,ssse3")))
#define INLINE static inline __attribute__((always_inline))

static const uint32_t constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

int holdfast_sha256_is_available(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 19) || !(c & 1u << 9)) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 29) != 0;
}

// The state in the order that the instructions want, and the last 16 words of the message.
struct lane {
    __m128i abef;
    __m128i cdgh;
    __m128i words[4];
};

INLINE WITH_SHA void load(struct lane *lane, const uint32_t *state) {
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xB1);
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1B);
    lane->abef = _mm_alignr_epi8(low, high, 8);
    lane->cdgh = _mm_blend_epi16(high, low, 0xF0);
}

INLINE WITH_SHA void save(const struct lane *lane, uint32_t *state) {
    __m128i low = _mm_shuffle_epi32(lane->abef, 0x1B);
    __m128i high = _mm_shuffle_epi32(lane->cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(low, high, 0xF0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(high, low, 8));
}

// Four rounds.
INLINE WITH_SHA void quad(struct lane *lane, const uint8_t *block, int number) {
    __m128i *w = lane->words;
    int at = number & 3;
    if (number < 4) {
        const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
        w[at] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 16 * number)), order);
    } else {
        __m128i newest = w[(number + 3) & 3];
        __m128i sum = _mm_add_epi32(
            _mm_sha256msg1_epu32(w[at], w[(number + 1) & 3]), _mm_alignr_epi8(newest, w[(number + 2) & 3], 4));
        w[at] = _mm_sha256msg2_epu32(sum, newest);
    }
    __m128i sum = _mm_add_epi32(w[at], _mm_load_si128((const __m128i *)(constants + 4 * number)));
    lane->cdgh = _mm_sha256rnds2_epu32(lane->cdgh, lane->abef, sum);
    lane->abef = _mm_sha256rnds2_epu32(lane->abef, lane->cdgh, _mm_shuffle_epi32(sum, 0x0E));
}

INLINE WITH_SHA void add(struct lane *lane, __m128i abef, __m128i cdgh) {
    lane->abef = _mm_add_epi32(lane->abef, abef);
    lane->cdgh = _mm_add_epi32(lane->cdgh, cdgh);
}

static WITH_SHA void blocks(uint32_t *state, const uint8_t *bytes, size_t count) {
    struct lane lane;
    load(&lane, state);
    for (; count > 0; count--, bytes += 64) {
        __m128i abef = lane.abef, cdgh = lane.cdgh;
#pragma clang loop unroll(full)
        for (int number = 0; number < 16; number++) quad(&lane, bytes, number);
        add(&lane, abef, cdgh);
    }
    save(&lane, state);
}

static WITH_SHA void block_pairs(
    uint32_t *one_state, const uint8_t *one, uint32_t *two_state, const uint8_t *two, size_t count) {
    struct lane first, second;
    load(&first, one_state);
    load(&second, two_state);
    for (; count > 0; count--, one += 64, two += 64) {
        __m128i abef1 = first.abef, cdgh1 = first.cdgh, abef2 = second.abef, cdgh2 = second.cdgh;
#pragma clang loop unroll(full)
        for (int number = 0; number < 16; number++) {
            quad(&first, one, number);
            quad(&second, two, number);
        }
        add(&first, abef1, cdgh1);
        add(&second, abef2, cdgh2);
    }
    save(&first, one_state);
    save(&second, two_state);
}

#else

int holdfast_sha256_is_available(void) { return 0; }
static void blocks(uint32_t *state, const uint8_t *bytes, size_t count) {
    (void)state, (void)bytes, (void)count;
    __builtin_trap();
}
static void block_pairs(
    uint32_t *one_state, const uint8_t *one, uint32_t *two_state, const uint8_t *two, size_t count) {
    (void)one_state, (void)one, (void)two_state, (void)two, (void)count;
    __builtin_trap();
}

#endif

// Fills a block that was begun; returns how many bytes that took.
static size_t complete_pending(struct holdfast_sha256 *context, const uint8_t *bytes, size_t count) {
    size_t held = context->length & 63;
    if (held == 0) return 0;
    size_t taken = 64 - held < count ? 64 - held : count;
    memcpy(context->pending + held, bytes, taken);
    context->length += taken;
    if (held + taken == 64) blocks(context->state, context->pending, 1);
    return taken;
}

void holdfast_sha256_update(struct holdfast_sha256 *context, const void *bytes, size_t count) {
    if (count == 0) return;
    const uint8_t *next = bytes;
    size_t taken = complete_pending(context, next, count);
    next += taken;
    count -= taken;
    blocks(context->state, next, count / 64);
    context->length += count;
    if (count % 64 != 0) memcpy(context->pending, next + count / 64 * 64, count % 64);
}

void holdfast_sha256_update_pair(
    struct holdfast_sha256 *one, const void *one_bytes, size_t one_count,
    struct holdfast_sha256 *two, const void *two_bytes, size_t two_count) {
    const uint8_t *first = one_bytes, *second = two_bytes;
    if (one_count > 0 && two_count > 0) {
        size_t one_taken = complete_pending(one, first, one_count);
        size_t two_taken = complete_pending(two, second, two_count);
        first += one_taken;
        second += two_taken;
        one_count -= one_taken;
        two_count -= two_taken;
        size_t common = (one_count < two_count ? one_count : two_count) / 64;
        if (common > 0) {
            block_pairs(one->state, first, two->state, second, common);
            one->length += common * 64;
            two->length += common * 64;
            first += common * 64;
            second += common * 64;
            one_count -= common * 64;
            two_count -= common * 64;
        }
    }
    holdfast_sha256_update(one, first, one_count);
    holdfast_sha256_update(two, second, two_count);
}

void holdfast_sha256_finish(struct holdfast_sha256 *context, void *digest) {
    uint8_t tail[128] = {0};
    size_t held = context->length & 63;
    size_t size = held < 56 ? 64 : 128;
    uint64_t bits = context->length * 8;
    memcpy(tail, context->pending, held);
    tail[held] = 0x80;
    for (int index = 0; index < 8; index++) tail[size - 1 - index] = (uint8_t)(bits >> (8 * index));
    blocks(context->state, tail, size / 64);
    uint8_t *target = digest;
    for (int index = 0; index < 32; index++) target[index] = (uint8_t)(context->state[index / 4] >> (24 - 8 * (index % 4)));
}
