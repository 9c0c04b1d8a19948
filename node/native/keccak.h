/* What keccak.c and keccak_many.c share: the sponge of Keccak-256, with its original padding. */

#ifndef PHOENIX_KECCAK_H
#define PHOENIX_KECCAK_H

#include "kernels.h"

enum { LANES = 25, ROUNDS = 24, RATE = 136 };

/* The last block of a message, of which `size` bytes are left: fewer than a block has. */
static inline void keccak_pad(uint8_t block[RATE], const uint8_t *data, size_t size)
{
    memset(block, 0, RATE);
    if (size)
        memcpy(block, data, size);
    block[size] = 0x01;
    block[RATE - 1] |= 0x80;
}

/* Absorb what is left of a message into a state, and take the digest. */
void keccak_finish(uint64_t state[LANES], const uint8_t *data, size_t size, uint8_t *output);

#endif
