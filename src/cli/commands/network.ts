import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { findHost } from '../../api/native/start-process.ts'
import { isDomainName } from '../../host/guests/home.ts'
import type { NetworkKind, NetworkReport } from '../../host/network/network-order.ts'
import { NETWORK_KINDS } from '../../host/network/network-order.ts'
import type { NetworkDefinition } from '../../host/networks/network-definition.ts'
import { NetworkStore } from '../../host/networks/network-store.ts'
import { checkUnused, networksUse } from '../../host/networks/network-use.ts'
import { cliError, ExitStatus } from '../errors.ts'
import { guestStore, hostOptions } from '../named-guests.ts'
import { networkTable } from '../network-table.ts'
import { collect } from '../network-values.ts'
import type { Surroundings } from '../surroundings.ts'
import { task } from '../task.ts'
import type { AddCommand, CommandLine } from '../task.ts'

export const addNetwork: AddCommand = (program, line) => {
  const network = program.command('network').summary('networks of named guests: create, ls, inspect, rm')
    .description('Networks that named guests are plugged into, with --net NAME. There is always one, default, of the kind nat.')
  addCreate(network, line)
  network.command('ls').summary('list networks').option('--json', 'for programs: an array of objects')
    .action(({ json = false }: { json?: boolean }) => line.take(task({ json }, list)))
  network.command('inspect').summary('who is plugged in, what passes, and what was dropped why').argument('<name>', 'which')
    .action((name: string) => line.take(task({ name }, inspect)))
  network.command('rm').summary('remove networks that no guest names').argument('<name...>', 'which')
    .action((names: string[]) => line.take(task({ names }, remove)))
}

interface CreateRequest extends NetworkDefinition { readonly name: string }

function addCreate(network: Command, line: CommandLine): void {
  network.command('create').summary('make a network').argument('<name>', 'what it is called')
    .option('--kind <kind>', 'nat: guests reach each other and the outside; host-only: not the outside; isolated: each other alone; '
      + 'bridge: they are on a network of the host\'s (Linux)', parseKind, 'nat')
    .option('--bridge <name>', 'of bridge: the host\'s bridge, such as br0; joining it takes the right CAP_NET_ADMIN')
    .option('--tap <name>', 'of bridge, instead: a TAP that an administrator has made for you and joined to a bridge, or a macvtap, whose MAC address its guest has')
    .option('--ipv4 <address>', 'the gateway\'s address in its network, such as 10.0.5.1/24; one is chosen if it is left out')
    .option('--ipv6 <address>', 'as well, such as fd00:5::1/64')
    .option('--mtu <bytes>', 'the largest packet (default: 1500)', parseMtu)
    .option('--allow <where>', 'of nat: all that may be reached outside, such as example.org:443 (repeatable)', collect)
    .option('--host-port <port>', 'of nat and host-only: a port of the host\'s 127.0.0.1 that guests reach at the gateway: 8080, 5353/udp '
      + '(repeatable)', collect)
    .action((name: string, { hostPort: hostPorts, ...options }: NetworkDefinition & { readonly hostPort?: string[] }) =>
      line.take(task<CreateRequest>({ name, ...options, hostPorts }, create)))
}

function parseKind(text: string): NetworkKind {
  const kind = NETWORK_KINDS.find(each => each === text)
  if (kind !== undefined) return kind
  throw cliError('USAGE', `--kind ${JSON.stringify(text)} is no kind of network: there is ${NETWORK_KINDS.join(', ')}`)
}

function parseMtu(text: string): number {
  if (/^\d{4,5}$/.test(text)) return Number(text)
  throw cliError('USAGE', `--mtu ${JSON.stringify(text)} is no number of bytes: write 1280 to 65535`)
}

async function create({ name, ...definition }: CreateRequest, surroundings: Surroundings): Promise<number> {
  const { kind, ipv4, bridge, tap } = await networksOf(surroundings).create(name, definition)
  const detail = ipv4 === undefined ? kind === 'bridge' ? ` to ${bridge ?? tap}` : '' : `, its gateway ${ipv4}`
  surroundings.stderr.write(`tenon: the network ${name} is ${kind}${detail}\n`)
  return ExitStatus.OK
}

async function list({ json }: { readonly json: boolean }, surroundings: Surroundings): Promise<number> {
  const store = networksOf(surroundings)
  const users = await networksUse(guestStore(surroundings))
  const networks = await Promise.all((await store.names()).map(async name => {
    const definition = await store.definition(name).catch((error: Error) => ({ problem: error.message }))
    return { name, ...definition, guests: users.get(name) ?? [] }
  }))
  surroundings.stdout.write(json ? `${JSON.stringify(networks, null, 2)}\n` : networkTable(networks))
  return ExitStatus.OK
}

async function inspect({ name }: { readonly name: string }, surroundings: Surroundings): Promise<number> {
  const definition = await networksOf(surroundings).definition(name)
  const guests = (await networksUse(guestStore(surroundings))).get(name) ?? []
  const running = (await reports(surroundings)).filter(({ order }) => order.name === name).map(({ cards, gateway }) => ({ cards, gateway }))
  surroundings.stdout.write(`${JSON.stringify({ name, ...definition, guests, running }, null, 2)}\n`)
  return ExitStatus.OK
}

async function remove({ names }: { readonly names: readonly string[] }, surroundings: Surroundings): Promise<number> {
  for (const name of names) {
    await checkUnused(guestStore(surroundings), name)
    await networksOf(surroundings).remove(name)
  }
  return ExitStatus.OK
}

/** Of all background processes: each has networks of its own, whatever they are called. */
async function reports(surroundings: Surroundings): Promise<readonly NetworkReport[]> {
  const options = hostOptions(surroundings)
  const domains = await readdir(join(options.home, 'run')).catch(() => [])
  const hosts = await Promise.all(domains.filter(isDomainName).map(domain => findHost(domain, options)))
  const lists = await Promise.all(hosts.map(host => host?.networks() ?? []))
  return lists.flat()
}

function networksOf(surroundings: Surroundings): NetworkStore { return new NetworkStore(hostOptions(surroundings).home) }
