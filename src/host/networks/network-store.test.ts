import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { formatGuestFile, parseGuestFile } from '../guests/guest-file.ts'
import type { CardOrder, NetworkOrder } from '../network/network-order.ts'
import type { NetworkThread } from '../network/network-thread.ts'
import { GuestNetworks } from './guest-networks.ts'
import { NetworkStore } from './network-store.ts'

let home: string
let store: NetworkStore
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'tenon-networks-'))
  store = new NetworkStore(home)
})
afterEach(() => rmSync(home, { recursive: true }))

const withCode = (code: string, message = ''): unknown =>
  expect.objectContaining({ code, message: expect.stringContaining(message) as string })

function write(name: string, text: string): void {
  mkdirSync(join(home, 'networks'), { recursive: true })
  writeFileSync(join(home, 'networks', `${name}.yaml`), text)
}

test('the default network is there without a file, and may be another by one', async () => {
  expect([await store.names(), (await store.definition('default')).kind]).toEqual([['default'], 'nat'])
  write('default', 'kind: isolated\n')
  expect(await store.definition('default')).toEqual({ kind: 'isolated' })
})

test('networks are made with addresses of their own, for people to edit', async () => {
  await store.create('lan', { kind: 'nat' })
  const { ipv4, ipv6 } = await store.create('web', { kind: 'host-only', mtu: 9000 })
  expect([ipv4, ipv6]).toEqual(['10.0.6.1/24', expect.stringMatching(/^fd74:656e:.*::1\/64$/)])
  expect(await store.names()).toEqual(['default', 'lan', 'web'])
  expect(readFileSync(join(home, 'networks', 'web.yaml'), 'utf8')).toContain('kind: host-only\n')
  expect(await store.definition('web')).toMatchObject({ kind: 'host-only', mtu: 9000 })
  await store.remove('lan')
  expect(await store.names()).toEqual(['default', 'web'])
})

test('what makes no sense is refused, with file and line', async () => {
  await store.create('lan', { kind: 'isolated' })
  await expect(store.create('lan', { kind: 'nat' })).rejects.toEqual(withCode('NETWORK_EXISTS'))
  await expect(store.create('../x', { kind: 'nat' })).rejects.toEqual(withCode('NETWORK_NAME_INVALID'))
  await expect(store.create('a', { kind: 'nat', ipv4: '10.0.0.0/33' })).rejects.toEqual(withCode('NETWORK_CONFIGURATION_INVALID'))
  await expect(store.create('a', { kind: 'nat', hostPorts: ['53'] })).rejects.toEqual(withCode('NETWORK_CONFIGURATION_INVALID'))
  await expect(store.create('a', { kind: 'nat', hostPorts: ['0'] })).rejects.toEqual(withCode('NETWORK_CONFIGURATION_INVALID'))
  await expect(store.create('a', { kind: 'isolated', hostPorts: ['80'] })).rejects.toEqual(withCode('NETWORK_CONFIGURATION_INVALID'))
  await expect(store.create('a', { kind: 'nat', allow: ['nonsense'] })).rejects.toEqual(withCode('NETWORK_RULE_INVALID'))
  await expect(store.definition('nowhere')).rejects.toEqual(withCode('NETWORK_UNKNOWN', 'default, lan'))
  await expect(store.remove('nowhere')).rejects.toEqual(withCode('NETWORK_UNKNOWN'))
  write('bad', 'kind: nat\nmtu: 5\n')
  await expect(store.definition('bad')).rejects.toEqual(withCode('NETWORK_DEFINITION_INVALID', 'bad.yaml:2: mtu'))
})

test('guests say what they are plugged into', async () => {
  const text = `image: debian:12\nnetworks:\n  - default\n  - { name: lan, vlan: 20, rate: 1.5mbit, address: 10.0.5.7 }\n`
    + 'publish: [\'8080:80\', \'[::]:53:53/udp\']\n'
  const definition = await parseGuestFile(text, 'guest.yaml')
  expect(definition.networks).toEqual([{ name: 'default' }, { name: 'lan', vlan: 20, rate: 1_500_000, address: '10.0.5.7' }])
  expect(definition.publish[1]).toEqual({ protocol: 'udp', address: '::', port: 53, guestPort: 53 })
  expect(await parseGuestFile(await formatGuestFile(definition), 'guest.yaml')).toEqual(definition)
  expect((await parseGuestFile('image: a', 'f')).networks).toEqual([{ name: 'default' }])
  await expect(parseGuestFile('image: a\npublish: [x]', 'f'))
    .rejects.toEqual(withCode('GUEST_DEFINITION_INVALID', 'f:2: publish[0]: is no port'))
})

test('networks are made on the thread when a guest wants them, and again when they are others', async () => {
  const done: string[] = []
  let inUse = false
  const thread = {
    create: async ({ name, kind }: NetworkOrder) => { done.push(`create ${name} ${kind}`) },
    remove: async (name: string) => {
      if (inUse) throw new Error('in use')
      done.push(`remove ${name}`)
    },
  } as unknown as NetworkThread
  const log: string[] = []
  const networks = new GuestNetworks({ store, startThread: () => thread, log: message => log.push(message) })
  const cardsFor = async (guest: string): Promise<readonly CardOrder[]> => {
    return (await networks.forGuest(guest, { networks: [{ name: 'default' }, { name: 'lan', vlan: 3 }], publish: [] }))!.cards
  }
  expect(await networks.forGuest('x', { networks: [], publish: [] })).toBeUndefined()
  await store.create('lan', { kind: 'isolated' })
  const [[one, second], [again]] = await Promise.all([cardsFor('web'), cardsFor('web')])
  expect([one.mac === again.mac, one.mac === second.mac, one.hostName, second.vlan]).toEqual([true, false, 'web', 3])
  expect(done).toEqual(['create default nat', 'create lan isolated'])
  write('lan', 'kind: host-only\nipv4: 10.0.9.1/24\n')
  inUse = true
  await cardsFor('db')
  expect([done.length, log.length]).toEqual([2, 1])
  inUse = false
  await cardsFor('db')
  expect(done.slice(2)).toEqual(['remove lan', 'create lan host-only'])
  await expect(networks.forGuest('y', { networks: [{ name: 'nowhere' }], publish: [] })).rejects.toEqual(withCode('NETWORK_UNKNOWN'))
})
