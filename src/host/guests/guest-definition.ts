/**
 * What a guest is, as a person writes it in `guest.yaml`:
 *
 *     image: debian:12        what its disk was made from; or `kernel` (and `initrd`), files of one's own
 *     memory: 1 GiB
 *     cpu: x86-64-v3          x86-64, x86-64-v2, x86-64-v3 or max
 *     engine: auto            translate, interpret or auto
 *     disks:                  more disks, behind its own: a path, or a graph of block nodes (storage/kinds.ts)
 *       - /data/mail.qcow2
 *       - { kind: file, path: /data/seed.iso, readOnly: true }
 *       - { graph: logs.raw, bus: scsi, serial: logs-1 }     bus: nvme, virtio or scsi; serial, blockSize
 *     shares:                 folders of the host: FOLDER:PLACE[,readonly][,uid=N][,gid=N]
 *       - ./src:/mnt/src
 *     vsock: vsock            a Unix socket for streams to and from its programs: PATH[,cid=N] (host/vsock)
 *     networks:               its cards, in order; the network default if it is left out, none if it is empty
 *       - default
 *       - { name: lan, mac: 52:54:00:12:34:56, address: 10.0.5.7, vlan: 20, rate: 50mbit }
 *     publish: ['8080:80']    ports of the host that lead to its first card: [ADDRESS:]HOST:GUEST[/udp]
 *     append: quiet           more for the kernel's command line
 *     hostname: web           this and the next two are for cloud-init in the guest; a change has it configure the guest anew
 *     sshKeys:                who may log in to the image's default user
 *       - ssh-ed25519 AAAA… anna@laptop
 *     userData: user-data     a file: #cloud-config, a script, and what else cloud-init knows
 *     domain: default         the trust domain: guests of one share a process and may share memory
 *
 * Relative paths are relative to the file's folder. The name is the folder's. A change holds from the next start on.
 */
import { z } from 'zod'
import { readPublish, readRate } from '../network/card-text.ts'
import type { CardOrder } from '../network/network-order.ts'
import { DEFAULT_NETWORK } from '../networks/network-store.ts'
import { CPU_MODELS, DEFAULT_CPU_MODEL } from '../machine/cpu-models.ts'
import { ENGINES } from '../machine/engines.ts'
import { isHostname } from '../seed/hostname.ts'
import { isPublicKey } from '../seed/seed.ts'
import { MAXIMUM_SHARES } from '../shares/share-order.ts'
import { parseShare } from '../shares/share-text.ts'
import { parseVsock } from '../vsock/vsock-text.ts'
import { guestDiskSchema } from './guest-disk.ts'
import { DEFAULT_DOMAIN, isDomainName } from './home.ts'

const MIB = 1024 ** 2
const UNITS: Readonly<Record<string, number>> = { M: MIB, MiB: MIB, G: 1024 * MIB, GiB: 1024 * MIB }
export const DEFAULT_MEMORY = 512 * MIB
const MOST_DISKS = 32

const oneLine = z.string().regex(/^[^\0\n\r]*$/, 'must be one line')
const path = z.string().regex(/^[^\0]+$/, 'is no path')

const memory = z.string().transform((text, context) => {
  const [, number, unit] = /^(\d{1,7}) ?(MiB|GiB|M|G)$/.exec(text) ?? []
  const bytes = unit === undefined ? 0 : Number(number) * UNITS[unit]
  if (bytes > 0) return bytes
  context.addIssue({ code: 'custom', message: 'is no memory size in whole MiB or GiB, such as 512 MiB' })
  return z.NEVER
})

/** Its folder, if relative, stays so: it is relative to the file's. */
const share = parsed(text => parseShare(text, '/'))
const vsock = parsed(text => parseVsock(text, '/'))

const network = z.union([
  z.string().transform(name => ({ name })),
  z.strictObject({
    name: z.string(),
    mac: z.string().optional(),
    address: z.string().optional(),
    vlan: z.int().min(1).max(4094).optional(),
    rate: readable(readRate, 'is no rate: write it as 50mbit, 500kbit or 1gbit').optional(),
    isolated: z.boolean().optional(),
  }),
], 'is neither the name of a network nor a card with its name') as z.ZodType<GuestCard>

/** A card of a guest: where it is plugged in, and how. */
export interface GuestCard extends Pick<CardOrder, 'address' | 'vlan' | 'isolated'> {
  readonly name: string
  readonly mac?: string
  /** Bits a second. */
  readonly rate?: number
}

/** A text that can be parsed, and stays one. */
function parsed(parse: (text: string) => unknown): z.ZodType<string> {
  return oneLine.superRefine((text, context) => {
    try {
      parse(text)
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message })
    }
  })
}

function readable<T>(read: (text: string) => T | undefined, problem: string): z.ZodType<T> {
  return z.string().transform((text, context) => {
    const value = read(text)
    if (value !== undefined) return value
    context.addIssue({ code: 'custom', message: problem })
    return z.NEVER
  })
}

export const DEFAULT_NETWORKS: readonly GuestCard[] = [{ name: DEFAULT_NETWORK }]

export const guestDefinitionSchema = z.strictObject({
  image: oneLine.min(1).optional(),
  kernel: path.optional(),
  initrd: path.optional(),
  memory: memory.default(DEFAULT_MEMORY),
  cpu: z.enum(CPU_MODELS).default(DEFAULT_CPU_MODEL),
  engine: z.enum(ENGINES).default('auto'),
  disks: z.array(guestDiskSchema).max(MOST_DISKS).default([]),
  shares: z.array(share).max(MAXIMUM_SHARES).default([]),
  vsock: vsock.optional(),
  networks: z.array(network).max(6).default(() => [...DEFAULT_NETWORKS]),
  publish: z.array(readable(readPublish, 'is no port to publish: write 8080:80 or 127.0.0.1:5353:53/udp')).max(256).default([]),
  append: oneLine.default(''),
  hostname: z.string().refine(isHostname, 'is no host name: letters, digits and hyphens, 63 at most').optional(),
  sshKeys: z.array(z.string().refine(isPublicKey, 'is no public SSH key, one line as in id_ed25519.pub')).default([]),
  userData: path.optional(),
  domain: z.string().refine(isDomainName, 'is no name of a domain: lower-case letters, digits and hyphens').default(DEFAULT_DOMAIN),
}).superRefine(({ image, kernel, initrd }, context) => {
  const refuse = (field: string, message: string): void => context.addIssue({ code: 'custom', path: [field], message })
  if (image === undefined && kernel === undefined) refuse('image', 'is missing: name an image, or a kernel of your own')
  if (image !== undefined && kernel !== undefined) refuse('kernel', 'and image are two ways to boot: leave one of them out')
  if (initrd !== undefined && kernel === undefined) refuse('initrd', 'is for a kernel of your own: give that as kernel')
})

export type GuestDefinition = z.infer<typeof guestDefinitionSchema>
