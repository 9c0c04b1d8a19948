// A life of one identity on a did:ethr registry, lived and read by npm ethr-did-resolver, which nobody here wrote.
// {modules, rpc, chainId, registry, identity, heir, relayer} (the last three: private keys) as one JSON argument;
// prints the resolver's answer after each step as one JSON object.
'use strict'
const { createRequire } = require('node:module')
const config = JSON.parse(process.argv[2])
const load = createRequire(config.modules + '/')
const { EthrDidController, getResolver, stringToBytes32 } = load('ethr-did-resolver')
const { Resolver } = load('did-resolver')
const { JsonRpcProvider, NonceManager, SigningKey, Wallet } = load('ethers')

const WEEK = 7 * 86400
const provider = new JsonRpcProvider(config.rpc, config.chainId, { staticNetwork: true, pollingInterval: 100 })
const wallet = (key) => new NonceManager(new Wallet(key, provider))
const address = (key) => new Wallet(key).address
const [identity, heir, relayer] = [config.identity, config.heir, config.relayer].map(wallet)
const me = address(config.identity)
const did = `did:ethr:phoenix:${me}`
const networks = [{ name: 'phoenix', chainId: config.chainId, rpcUrl: config.rpc, registry: config.registry }]
const resolver = new Resolver(getResolver({ networks }))
// The registry counts the messages of whoever signs, as its version 1.0.0 does.
const as = (signer) =>
  new EthrDidController(me, undefined, signer, 'phoenix', provider, undefined, config.registry, false)
const signature = (key, hash) => {
  const { v, r, s } = new SigningKey(key).sign(hash)
  return { sigV: v, sigR: r, sigS: s }
}

async function life() {
  const found = {}
  const look = async (name, more = '') => {
    // What was revoked is valid until the end of its block's second, by the clock that the resolver reads.
    const { timestamp } = await provider.getBlock('latest')
    while (Date.now() < (timestamp + 1) * 1000) await new Promise((done) => setTimeout(done, 50))
    found[name] = await resolver.resolve(did + more)
  }
  const mine = as(identity)
  await look('born')
  await mine.addDelegate('veriKey', address(config.heir), WEEK)
  const first = await provider.getBlockNumber()
  await look('delegate')
  await mine.addDelegate('sigAuth', address(config.relayer), WEEK)
  await look('authenticating delegate')
  await mine.revokeDelegate('veriKey', address(config.heir))
  await look('delegate revoked')
  const key = '0x' + '02'.repeat(33)
  await mine.setAttribute('did/pub/Secp256k1/veriKey/hex', key, WEEK)
  await mine.setAttribute('did/svc/LedgerService', 'https://ledger.example/did', WEEK)
  await look('attributes')
  await mine.revokeAttribute('did/pub/Secp256k1/veriKey/hex', key)
  await look('attribute revoked')

  // The identity signs, somebody else sends and pays.
  const relayed = as(relayer)
  const [kind, to] = [stringToBytes32('veriKey'), address(config.heir)]
  await relayed.addDelegateSigned(
    'veriKey', to, WEEK, signature(config.identity, await mine.createAddDelegateHash('veriKey', to, WEEK)))
  await look('delegate by message')
  await relayed.revokeDelegateSigned(
    'veriKey', to, signature(config.identity, await mine.createRevokeDelegateHash('veriKey', to)))
  const service = ['did/svc/Relayed', 'https://relay.example']
  await relayed.setAttributeSigned(
    ...service, WEEK, signature(config.identity, await mine.createSetAttributeHash(...service, WEEK)))
  await look('attribute by message')
  await relayed.revokeAttributeSigned(
    ...service, signature(config.identity, await mine.createRevokeAttributeHash(...service)))
  await relayed.changeOwnerSigned(to, signature(config.identity, await mine.createChangeOwnerHash(to)))
  await look('owner changed by message')

  const theirs = as(heir)
  await theirs.changeOwner(me)
  await look('owner changed back')
  await look('as it was', `?versionId=${first}`)
  await mine.changeOwner('0x0000000000000000000000000000000000000000')
  await look('given up')
  return found
}

life().then(
  (found) => { process.stdout.write(JSON.stringify(found)); process.exit(0) },
  (error) => { console.error(error); process.exit(1) })
