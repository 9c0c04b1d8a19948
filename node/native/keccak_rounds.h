/* The rounds of Keccak-f[1600] (the Keccak reference, version 3.0), for one state or for several at once.
 *
 * Whoever includes this has defined LANE: a number of 64 bits, or a vector of such numbers, each of another
 * state. An operator means the same for both. */

static const uint64_t IOTA[ROUNDS] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000, 0x000000000000808B,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008A, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000A, 0x000000008000808B, 0x800000000000008B, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};

#if defined(__GNUC__)
#define FOLDED static inline __attribute__((always_inline))
#else
#define FOLDED static inline
#endif

/* The remainder is for lanes that are turned by nothing: no number is shifted by its whole width. */
#define TURNED(lane, by) ((lane) << (by) | (lane) >> (64 - (by)) % 64)

/* Five lanes of `out`: those that pi brings there, each with theta's `d` added and turned by rho, mixed by chi. */
#define MOVED(i, by) TURNED(in[i] ^ d[(i) % 5], by)
#define ROW(y, i0, r0, i1, r1, i2, r2, i3, r3, i4, r4) \
    do { \
        LANE b0 = MOVED(i0, r0), b1 = MOVED(i1, r1), b2 = MOVED(i2, r2), b3 = MOVED(i3, r3), b4 = MOVED(i4, r4); \
        out[y] = b0 ^ (~b1 & b2); \
        out[y + 1] = b1 ^ (~b2 & b3); \
        out[y + 2] = b2 ^ (~b3 & b4); \
        out[y + 3] = b3 ^ (~b4 & b0); \
        out[y + 4] = b4 ^ (~b0 & b1); \
    } while (0)

FOLDED void one_round(const LANE *in, LANE *out, uint64_t iota)
{
    LANE c[5], d[5];
#pragma GCC unroll 5
    for (int x = 0; x < 5; x++)
        c[x] = in[x] ^ in[x + 5] ^ in[x + 10] ^ in[x + 15] ^ in[x + 20];
#pragma GCC unroll 5
    for (int x = 0; x < 5; x++)
        d[x] = c[(x + 4) % 5] ^ TURNED(c[(x + 1) % 5], 1);
    ROW(0, 0, 0, 6, 44, 12, 43, 18, 21, 24, 14);
    ROW(5, 3, 28, 9, 20, 10, 3, 16, 45, 22, 61);
    ROW(10, 1, 1, 7, 6, 13, 25, 19, 8, 20, 18);
    ROW(15, 4, 27, 5, 36, 11, 10, 17, 15, 23, 56);
    ROW(20, 2, 62, 8, 55, 14, 39, 15, 41, 21, 2);
    out[0] ^= iota;
}

FOLDED void all_rounds(LANE a[LANES])
{
    LANE b[LANES];
    for (int round = 0; round < ROUNDS; round += 2) {
        one_round(a, b, IOTA[round]);
        one_round(b, a, IOTA[round + 1]);
    }
}
