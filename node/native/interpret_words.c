/* Instructions on the stack of cold code, and the commonest on its words and memory, on Python's own numbers. */

#include "interpret.h"

enum { STACK_ITEMS_MAX = 1024, WORD_BITS = 256 };

static PyObject *word_mask, *sign_bit, *zero, *one;

/* Takes the reference. */
static outcome push(machine *at, PyObject *word)
{
    int failed = word == NULL || PyList_Append(at->stack, word) < 0;
    Py_XDECREF(word);
    return failed ? FAILED : DONE;
}

/* Takes the reference; in the place of so many items. */
static outcome replace(machine *at, int count, PyObject *word)
{
    if (word == NULL)
        return FAILED;
    drop(at, count - 1);
    Py_ssize_t top = height(at) - 1;
    PyObject *old = PyList_GET_ITEM(at->stack, top);
    PyList_SET_ITEM(at->stack, top, word);
    Py_DECREF(old);
    return DONE;
}

static outcome swap(machine *at, Py_ssize_t depth)
{
    Py_ssize_t top = height(at) - 1, other = top - depth;
    if (other < 0)
        return UNUSUAL;
    PyObject *word = PyList_GET_ITEM(at->stack, top);
    PyList_SET_ITEM(at->stack, top, PyList_GET_ITEM(at->stack, other));
    PyList_SET_ITEM(at->stack, other, word);
    return DONE;
}

/* PUSH, DUP, SWAP, POP, PC, JUMPDEST. */
outcome interpret_items(machine *at, uint8_t opcode)
{
    Py_ssize_t items = height(at);
    if (opcode == JUMPDEST)
        return DONE;
    if (opcode >= SWAP1)
        return swap(at, opcode - SWAP1 + 1);
    if (opcode == POP) {
        if (items == 0)
            return UNUSUAL;
        drop(at, 1);
        return DONE;
    }
    if (items >= STACK_ITEMS_MAX)
        return UNUSUAL;
    if (opcode == PC)
        return push(at, PyLong_FromSsize_t(at->pc));
    if (opcode < DUP1) {
        size_t bytes = (size_t)(opcode - PUSH1 + 1);
        outcome done = push(at, number_from(at->code + at->pc + 1, bytes));
        at->pc += (Py_ssize_t)bytes;
        return done;
    }
    if (items < opcode - DUP1 + 1)
        return UNUSUAL;
    return push(at, Py_NewRef(item(at, opcode - DUP1)));
}

/* --- words */

/* Modulo 2**256; takes the reference. */
static PyObject *masked(PyObject *number)
{
    PyObject *word = number == NULL ? NULL : PyNumber_And(number, word_mask);
    Py_XDECREF(number);
    return word;
}

static PyObject *truth(int is)
{
    return is < 0 ? NULL : Py_NewRef(is ? one : zero);
}

static PyObject *compared_as_signed(PyObject *a, PyObject *b, int how)
{
    PyObject *left = PyNumber_Xor(a, sign_bit), *right = PyNumber_Xor(b, sign_bit);
    int is = left == NULL || right == NULL ? -1 : PyObject_RichCompareBool(left, right, how);
    Py_XDECREF(left);
    Py_XDECREF(right);
    return truth(is);
}

static PyObject *shifted(PyObject *shift, PyObject *word, int to_the_left)
{
    int overflow;
    long long bits = PyLong_AsLongLongAndOverflow(shift, &overflow);
    if (overflow || bits >= WORD_BITS)
        return Py_NewRef(zero);
    return to_the_left ? masked(PyNumber_Lshift(word, shift)) : PyNumber_Rshift(word, shift);
}

static PyObject *computed(uint8_t opcode, PyObject *a, PyObject *b)
{
    switch (opcode) {
    case ADD:
        return masked(PyNumber_Add(a, b));
    case MUL:
        return masked(PyNumber_Multiply(a, b));
    case SUB:
        return masked(PyNumber_Subtract(a, b));
    case DIV:
        return PyObject_IsTrue(b) ? PyNumber_FloorDivide(a, b) : Py_NewRef(zero);
    case LT:
        return truth(PyObject_RichCompareBool(a, b, Py_LT));
    case GT:
        return truth(PyObject_RichCompareBool(a, b, Py_GT));
    case SLT:
        return compared_as_signed(a, b, Py_LT);
    case SGT:
        return compared_as_signed(a, b, Py_GT);
    case EQ:
        return truth(PyObject_RichCompareBool(a, b, Py_EQ));
    case ISZERO:
        return truth(PyObject_Not(a));
    case AND:
        return PyNumber_And(a, b);
    case OR:
        return PyNumber_Or(a, b);
    case XOR:
        return PyNumber_Xor(a, b);
    case NOT:
        return PyNumber_Xor(a, word_mask);
    default:
        return shifted(a, b, opcode == SHL);
    }
}

outcome interpret_computation(machine *at, uint8_t opcode)
{
    int pops = opcode == ISZERO || opcode == NOT ? 1 : 2;
    if (height(at) < pops)
        return UNUSUAL;
    return replace(at, pops, computed(opcode, item(at, 0), item(at, pops - 1)));
}

/* --- memory */

outcome interpret_memory(machine *at, uint8_t opcode)
{
    int pops = opcode == MSTORE ? 2 : 1;
    Py_ssize_t place = height(at) < pops ? -1 : place_of(item(at, 0));
    if (place < 0 || place + WORD > PyByteArray_GET_SIZE(at->memory))
        return UNUSUAL;
    uint8_t *word = (uint8_t *)PyByteArray_AS_STRING(at->memory) + place;
    if (opcode == MLOAD)
        return replace(at, 1, number_from(word, WORD));
    if (number_bytes(item(at, 1), word, WORD) < 0)
        return FAILED;
    drop(at, 2);
    return DONE;
}

/* The numbers that are always needed; 0 with an exception. */
int interpret_words_prepare(void)
{
    uint8_t mask[WORD], sign[WORD] = {0x80};
    memset(mask, 0xFF, sizeof mask);
    Py_XSETREF(word_mask, _PyLong_FromByteArray(mask, WORD, 0, 0));
    Py_XSETREF(sign_bit, _PyLong_FromByteArray(sign, WORD, 0, 0));
    Py_XSETREF(zero, PyLong_FromLong(0));
    Py_XSETREF(one, PyLong_FromLong(1));
    return word_mask != NULL && sign_bit != NULL && zero != NULL && one != NULL;
}
