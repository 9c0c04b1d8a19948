/* Signed transactions (EIP-155, EIP-2718, EIP-2930, EIP-1559): taken apart, and what was signed.
 *
 * What is refused here is decoded by node.primitives.transaction, which accepts it or finds the words. */

#include "transaction.h"

enum { WORD = 32, ADDRESS = 20 };

static const uint8_t N[WORD] = {
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE,
    0xBA, 0xAE, 0xDC, 0xE6, 0xAF, 0x48, 0xA0, 0x3B, 0xBF, 0xD2, 0x5E, 0x8C, 0xD0, 0x36, 0x41, 0x41};
static const uint8_t HALF_N[WORD] = {
    0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0x5D, 0x57, 0x6E, 0x73, 0x57, 0xA4, 0x50, 0x1D, 0xDF, 0xE9, 0x2F, 0x46, 0x68, 0x1B, 0x20, 0xA0};
static const uint8_t ZERO[WORD];

/* --- taking apart */

static int is_number(const transaction *tx, int index, size_t bytes_max)
{
    const rlp_bounds *item = &tx->items[index];
    return item->end - item->start <= bytes_max && (item->start == item->end || tx->data[item->start] != 0);
}

/* A number right-aligned in 32 bytes. */
static void word_of(const transaction *tx, int index, uint8_t *word)
{
    const rlp_bounds *item = &tx->items[index];
    size_t size = item->end - item->start;
    memset(word, 0, WORD - size);
    memcpy(word + WORD - size, tx->data + item->start, size);
}

static int has_signature(transaction *tx)
{
    int r = tx->count - 2, s = tx->count - 1;
    if (!is_number(tx, r, WORD) || !is_number(tx, s, WORD))
        return 0;
    word_of(tx, r, tx->signature);
    word_of(tx, s, tx->signature + WORD);
    return memcmp(tx->signature, ZERO, WORD) > 0 && memcmp(tx->signature, N, WORD) < 0
        && memcmp(tx->signature + WORD, ZERO, WORD) > 0 && memcmp(tx->signature + WORD, HALF_N, WORD) <= 0;
}

static int has_parity(transaction *tx)
{
    const rlp_bounds *item = &tx->items[tx->count - 3];
    if (!is_number(tx, tx->count - 3, sizeof(uint64_t)))
        return 0;
    uint64_t v = 0;
    for (size_t i = item->start; i < item->end; i++)
        v = v << 8 | tx->data[i];
    if (tx->type != LEGACY) {
        tx->signature[2 * WORD] = (uint8_t)v;
        return v <= 1;
    }
    tx->is_protected = v >= 35;
    tx->chain_id = tx->is_protected ? (v - 35) / 2 : 0;
    tx->signature[2 * WORD] = (uint8_t)(tx->is_protected ? (v - 35) % 2 : v - 27);
    return tx->is_protected || v == 27 || v == 28;
}

int transaction_parse(const uint8_t *data, size_t size, transaction *tx)
{
    static const int counts[] = {9, 11, 12};
    rlp_bounds whole;
    if (size == 0)
        return 0;
    tx->data = data;
    tx->type = data[0] >= 0xC0 ? LEGACY : data[0];
    if (tx->type > FEE_MARKET || (data[0] < 0xC0 && tx->type == LEGACY))
        return 0;
    if (!rlp_item(data, tx->type != LEGACY, size, &whole) || !whole.is_list || whole.end != size)
        return 0;
    tx->start = whole.start;
    tx->count = counts[tx->type];
    size_t at = whole.start;
    for (int i = 0; i < tx->count; i++) {
        if (i == tx->count - 3)
            tx->unsigned_end = at;
        int is_list = tx->type != LEGACY && i == tx->count - 4;
        if (!rlp_item(data, at, size, &tx->items[i]) || tx->items[i].is_list != is_list)
            return 0;
        at = tx->items[i].end;
    }
    int first = tx->type == LEGACY ? 0 : 1, gas = tx->type == FEE_MARKET ? 4 : first + 2;
    for (int i = 0; i < gas; i++)
        if (!is_number(tx, i, i == first ? sizeof(uint64_t) : WORD))
            return 0;
    tx->gas = gas;
    size_t to = tx->items[gas + 1].end - tx->items[gas + 1].start;
    return at == size && is_number(tx, gas, sizeof(uint64_t)) && (to == 0 || to == ADDRESS)
        && is_number(tx, gas + 2, WORD) && has_parity(tx) && has_signature(tx);
}

/* --- the digest that was signed */

static size_t put_number(uint8_t *out, uint64_t number)
{
    if (number < 0x80) {
        out[0] = number ? (uint8_t)number : 0x80;
        return 1;
    }
    size_t size = 0;
    for (uint64_t left = number; left; left >>= 8)
        size++;
    out[0] = (uint8_t)(0x80 + size);
    for (size_t i = 0; i < size; i++)
        out[1 + i] = (uint8_t)(number >> 8 * (size - 1 - i));
    return 1 + size;
}

size_t transaction_message(const transaction *tx, uint8_t *out)
{
    uint8_t tail[12], *start = out;
    size_t body = tx->unsigned_end - tx->start, tail_size = 0;
    if (tx->type == LEGACY && tx->is_protected) {
        tail_size = put_number(tail, tx->chain_id);
        tail[tail_size++] = 0x80;
        tail[tail_size++] = 0x80;
    }
    size_t size = body + tail_size;
    if (tx->type != LEGACY)
        *out++ = (uint8_t)tx->type;
    if (size < 56) {
        *out++ = (uint8_t)(0xC0 + size);
    } else {
        uint8_t width = 0;
        for (size_t left = size; left; left >>= 8)
            width++;
        *out++ = (uint8_t)(0xF7 + width);
        for (int k = width - 1; k >= 0; k--)
            *out++ = (uint8_t)(size >> 8 * k);
    }
    memcpy(out, tx->data + tx->start, body);
    memcpy(out + body, tail, tail_size);
    return (size_t)(out - start) + size;
}
