/* A signed transaction taken apart: what transaction.c finds, and recover.c and transactions.c need. */

#ifndef PHOENIX_TRANSACTION_H
#define PHOENIX_TRANSACTION_H

#include "kernels.h"

enum { LEGACY, ACCESS_LIST, FEE_MARKET };

typedef struct {
    const uint8_t *data;
    int type, count, gas; /* EIP-2718; how many items; index of the gas limit: recipient, value, data follow */
    rlp_bounds items[12];
    size_t start, unsigned_end; /* of the first item; of the items that are signed */
    int is_protected; /* legacy: signed for one chain (EIP-155) */
    uint64_t chain_id; /* of a protected legacy transaction */
    uint8_t signature[65]; /* r, s, y parity */
} transaction;

/* 0 where the bytes are no transaction, or one that Python must look at. The access list is not looked into. */
int transaction_parse(const uint8_t *data, size_t size, transaction *tx);

/* What the sender signed the hash of, into message_bytes_max of memory; its size. Needs no interpreter lock. */
size_t transaction_message(const transaction *tx, uint8_t *out);

static inline size_t message_bytes_max(const transaction *tx)
{
    return tx->unsigned_end - tx->start + 22; /* a type, a prefix, a chain id and two zeros */
}

#endif
