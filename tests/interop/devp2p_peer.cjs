// A peer built on npm @ethereumjs/devp2p, told what to do by one JSON argument, telling what happens as JSON lines.
// {modules, key, genesis, genesisHash, header, head, listen} or {..., dial: {id, port}}; "quit" on stdin ends it.
'use strict'
const { createRequire } = require('node:module')
const config = JSON.parse(process.argv[2])
const load = createRequire(config.modules + '/')
const { RLPx, ETH, EthMessageCodes: codes } = load('@ethereumjs/devp2p')
const { createCommonFromGethGenesis } = load('@ethereumjs/common')
const { RLP } = load('@ethereumjs/rlp')

const bytes = (hex) => Uint8Array.from(Buffer.from(hex, 'hex'))
const hex = (data) => Buffer.from(data).toString('hex')
const tell = (event, more = {}) => process.stdout.write(JSON.stringify({ event, ...more }) + '\n')

const common = createCommonFromGethGenesis(config.genesis, {
  chain: 'interop',
  genesisHash: bytes(config.genesisHash),
  hardfork: 'london',
})
const rlpx = new RLPx(bytes(config.key), {
  capabilities: [ETH.eth68],
  common,
  listenPort: config.dial ? null : config.listen,
  timeout: 5000,
})

rlpx.events.on('error', (error) => tell('error', { text: String(error) }))
rlpx.events.on('peer:error', (peer, error) => tell('peer-error', { text: String(error) }))
rlpx.events.on('peer:removed', (peer, reason, weDid) => tell('removed', { reason, weDid }))
rlpx.events.on('peer:added', (peer) => {
  const eth = peer.getProtocols()[0]
  tell('added', { id: hex(peer.getId()), client: peer.getHelloMessage().clientId })
  eth.events.on('status', (status) => {
    tell('status', { genesisHash: hex(status.genesisHash), bestHash: hex(status.bestHash), td: hex(status.td) })
    // Ask for one header by number: [request id, [origin, amount, skip, reverse]].
    eth.sendMessage(codes.GET_BLOCK_HEADERS, [7, [5, 1, 0, 0]])
  })
  eth.events.on('message', (code, payload) => {
    if (code === codes.GET_BLOCK_HEADERS) {
      eth.sendMessage(codes.BLOCK_HEADERS, [payload[0], [RLP.decode(bytes(config.header))]])
    } else if (code === codes.BLOCK_HEADERS) {
      tell('headers', { payload: hex(RLP.encode(payload)) })
    }
  })
  eth.sendStatus({
    td: bytes('0a'),
    bestHash: bytes(config.head),
    genesisHash: bytes(config.genesisHash),
    latestBlock: bytes('14'),
  })
})

process.stdin.on('data', () => {
  for (const peer of rlpx.getPeers()) peer.disconnect(8)
  setTimeout(() => process.exit(0), 200)
})

if (config.dial) {
  rlpx
    .connect({ id: bytes(config.dial.id), address: '127.0.0.1', tcpPort: config.dial.port })
    .then(() => tell('dialled'), (error) => tell('error', { text: String(error) }))
} else {
  rlpx.events.once('listening', () => {
    tell('listening', { port: rlpx._server.address().port, id: hex(rlpx.id) })
  })
  rlpx.listen(0, '127.0.0.1')
}
