"""era1 files across the border: npm's @ethereumjs/e2store reads ours to the same accumulator."""

import json
import subprocess
from pathlib import Path

import pytest

from node.archive.e2store import read_entries, unpack
from node.archive.era1 import BODY, HEADER, RECEIPTS, EraFile
from node.archive.errors import BadFile
from node.primitives.ids import hex_of
from tests.archive.world import World
from tests.interop.npm import node, npm_install

pytestmark = pytest.mark.interop

SCRIPT = """
import { readFileSync, writeFileSync } from 'fs'
import { formatEra1, readERA1, readAccumulatorRoot, parseBlockTuple, EpochAccumulator }
  from '@ethereumjs/e2store'
import { RLP } from '@ethereumjs/rlp'
import { bytesToHex, concatBytes } from '@ethereumjs/util'
import { keccak_256 } from '@noble/hashes/sha3.js'

const bytes = new Uint8Array(readFileSync(process.argv[2]))
const found = [], records = [], tuples = []
for await (const tuple of await readERA1(bytes)) {
  const { header, body, receipts, totalDifficulty } = await parseBlockTuple(tuple)
  const encoded = RLP.encode(header.data)
  const hash = keccak_256(encoded)
  found.push({
    hash: bytesToHex(hash),
    transactions: body.data.txs.length,
    receipts: receipts.data.length,
    difficulty: totalDifficulty.data.toString(),
  })
  records.push({ blockHash: hash, totalDifficulty: totalDifficulty.data })
  tuples.push({
    header: encoded,
    body: RLP.encode([body.data.txs, body.data.uncles]),
    receipts: RLP.encode(receipts.data),
    totalDifficulty: totalDifficulty.data,
  })
}
writeFileSync(process.argv[3], await formatEra1(tuples, records, 0))
console.log(JSON.stringify({
  blocks: found,
  stated: bytesToHex(await readAccumulatorRoot(bytes)),
  computed: bytesToHex(EpochAccumulator.merkleRoot(records)),
}))
"""


def test_e2store_reads_our_file_and_writes_the_same_entries(tmp_path: Path) -> None:
    modules = npm_install("@ethereumjs/e2store@10.0.0", compiled="snappy")
    world = World(40)
    (file,) = world.export(tmp_path / "ours", last=15)
    script = modules / "read_era1.mjs"
    script.write_text(SCRIPT)
    theirs = tmp_path / "theirs.era1"
    command = [node(), str(script), str(file.path), str(theirs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=modules)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    reader = world.reader
    assert found["stated"] == found["computed"] == hex_of(file.manifest.accumulator)
    assert found["blocks"] == [
        {
            "hash": hex_of(reader.canonical_hash(number)),
            "transactions": len(reader.block_by_number(number).transactions),
            "receipts": len(reader.receipts(reader.canonical_hash(number))),
            "difficulty": str(reader.total_difficulty(reader.canonical_hash(number))),
        }
        for number in range(16)
    ]
    ours, written = entries_of(file.content()), entries_of(memoryview(theirs.read_bytes()))
    assert written[:-1] == ours[:-1]
    # Its index counts from 32 bytes before the place where it stands: it forgets that the accumulator's entry
    # of 40 bytes lies between, and counts its own count of 8 twice. geth's index, and ours, do not.
    with pytest.raises(BadFile, match="index does not point at the blocks"):
        EraFile(memoryview(theirs.read_bytes()))


def entries_of(content: memoryview) -> list[tuple[bytes, bytes]]:
    """Every entry, unpacked: two programs may pack the same bytes differently."""
    packed = (HEADER, BODY, RECEIPTS)
    return [
        (entry.kind, unpack(entry) if entry.kind in packed else bytes(entry.data))
        for entry in read_entries(content)
    ]
