import { readFile } from 'node:fs/promises'
import { explained } from '../cache/file-errors.ts'
import { hostError } from '../errors.ts'
import { parseYaml } from '../yaml-file.ts'
import type { PublishOrder } from '../network/network-order.ts'
import { DEFAULT_NETWORK } from '../networks/network-store.ts'
import type { GuestCard, GuestDefinition } from './guest-definition.ts'
import { GUEST_FILES } from './home.ts'

/** `guest.yaml`: reading what a person may have edited, and writing the first version. */

/** Throws TenonError GUEST_DEFINITION_INVALID, with file and line, or GUEST_FILES_UNUSABLE. */
export async function readGuestFile(path: string): Promise<GuestDefinition> {
  return parseGuestFile(await explained(path, () => readFile(path, 'utf8'), GUEST_FILES), path)
}

export async function parseGuestFile(text: string, file: string): Promise<GuestDefinition> {
  // Loaded here: most starts of the program do not need it.
  const { guestDefinitionSchema } = await import('./guest-definition.ts')
  return parseYaml(text, file, guestDefinitionSchema, what => hostError('GUEST_DEFINITION_INVALID', what))
}

const HEAD = `# What this guest is. Edit it as you like: a change holds from its next start on.
# Fields: image, or kernel and initrd; memory, cpu, engine, disks, shares, vsock, networks, publish, append, hostname, sshKeys,
# userData, domain.
`

/** Gives the text of a definition: what is as it would be anyway is left out, but for the memory. */
export async function formatGuestFile(definition: GuestDefinition): Promise<string> {
  const { stringify } = await import('yaml')
  const { memory, cpu, engine, disks, networks, publish, shares, vsock, append, hostname, sshKeys, userData, domain, ...boot } = definition
  const fields = {
    ...boot, memory: formatMemory(memory), cpu, engine,
    ...disks.length === 0 ? {} : { disks },
    ...shares.length === 0 ? {} : { shares },
    ...vsock === undefined ? {} : { vsock },
    ...isDefault(networks) ? {} : { networks: networks.map(formatCard) },
    ...publish.length === 0 ? {} : { publish: publish.map(formatPublish) },
    ...append === '' ? {} : { append },
    ...hostname === undefined ? {} : { hostname },
    ...sshKeys.length === 0 ? {} : { sshKeys },
    ...userData === undefined ? {} : { userData },
    domain,
  }
  return `${HEAD}${stringify(fields)}`
}

function isDefault(cards: readonly GuestCard[]): boolean { return cards.length === 1 && isPlain(cards[0]) && cards[0].name === DEFAULT_NETWORK }

/** With nothing but its name. */
function isPlain(card: GuestCard): boolean { return Object.entries(card).every(([field, value]) => field === 'name' || value === undefined) }

function formatCard(card: GuestCard): unknown {
  if (isPlain(card)) return card.name
  const { rate, ...rest } = card
  return { ...rest, ...rate === undefined ? {} : { rate: `${rate / 1000}kbit` } }
}

function formatPublish({ address, port, guestPort, protocol }: PublishOrder): string {
  return `${address.includes(':') ? `[${address}]` : address}:${port}:${guestPort}/${protocol}`
}

/** Whole MiB, or GiB where it is. */
export function formatMemory(bytes: number): string {
  const mebibytes = bytes / 1024 ** 2
  return mebibytes % 1024 === 0 ? `${mebibytes / 1024} GiB` : `${mebibytes} MiB`
}
