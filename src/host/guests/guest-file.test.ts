import { expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { formatGuestFile, parseGuestFile } from './guest-file.ts'

const parse = (text: string): ReturnType<typeof parseGuestFile> => parseGuestFile(text, 'guest.yaml')
const MIB = 1024 ** 2

const EVERYTHING = `
kernel: ../vmlinuz
initrd: /boot/initrd
memory: 2 GiB
cpu: x86-64-v2
engine: interpret
disks:
  - /data/mail.qcow2
  - { kind: throttle, requestsPerSecond: 500, node: { kind: file, path: /data/x.raw } }
  - { graph: logs.raw, bus: scsi, serial: logs-1, blockSize: 4096 }
append: quiet panic=10
hostname: web
sshKeys: [ssh-ed25519 AAAA anna@laptop]
userData: user-data
vsock: ./vsock,cid=7
domain: mine
`

test('a definition needs little, and may say much', async () => {
  expect(await parse('image: debian:12')).toEqual({ networks: [{ name: 'default' }], publish: [], image: 'debian:12', memory: 512 * MIB, cpu: 'x86-64-v3', engine: 'auto', disks: [], shares: [], append: '', sshKeys: [], domain: 'default' })
  expect(await parse(EVERYTHING)).toMatchObject({ memory: 2048 * MIB, engine: 'interpret', domain: 'mine', disks: ['/data/mail.qcow2', { kind: 'throttle' }, { graph: 'logs.raw', bus: 'scsi', serial: 'logs-1', blockSize: 4096 }] })
})

test('what is written is read as the same', async () => {
  for (const text of ['image: debian:12', EVERYTHING, 'image: "a: b # c"\nmemory: 300 MiB\nappend: "x: [1] # y"']) {
    const definition = await parse(text)
    expect(await parse(await formatGuestFile(definition))).toEqual(definition)
  }
})

test.each([
  ['memory: 1 GiB', 'guest.yaml:1: image: is missing: name an image, or a kernel of your own'],
  ['image: x\nmemory: lots', 'guest.yaml:2: memory: is no memory size in whole MiB or GiB, such as 512 MiB'],
  ['image: x\n\nmemry: 1 GiB', 'guest.yaml:3: memry: there is no such field; there are image, kernel, initrd, memory, cpu, engine, disks, shares, vsock, networks, publish, append, hostname, sshKeys, userData, domain'],
  ['image: x\nkernel: y', 'guest.yaml:2: kernel: and image are two ways to boot: leave one of them out'],
  ['image: x\ndisks:\n  - /a\n  - 7', 'guest.yaml:4: disks[1]: is neither a path nor a graph of block nodes with its kind'],
  ['image: x\ndisks:\n  - graph: /a\n    bus: ide', 'guest.yaml:4: disks[0].bus: is none of nvme, virtio, scsi'],
  ['image: x\ndisks:\n  - graph: /a\n    buss: scsi', 'guest.yaml:4: disks[0].buss: there is no such field; there are graph, bus, serial, blockSize'],
  ['image: x\ndisks:\n  - graph: [a]', 'guest.yaml:3: disks[0].graph: is neither a path nor a graph'],
  ['image: x\ndisks:\n  - graph: /a\n    serial: "a b"', 'guest.yaml:4: disks[0].serial: is no serial number'],
  ['image: x\ndisks:\n  - kind: stripe\n    nodes:\n      - /a\n      - kind: memory\n        siz: 5', 'guest.yaml:6: disks[0].nodes[1].size: is missing'],
  ['image: x\nsshKeys:\n  - ssh-rsa', 'guest.yaml:3: sshKeys[0]: is no public SSH key, one line as in id_ed25519.pub'],
  ['image: x\nhostname: a_b', 'guest.yaml:2: hostname: is no host name'],
  ['image: x\nvsock: v,cid=2', 'guest.yaml:2: vsock: "v,cid=2" is no vsock'],
  ['image: x\nimage: y', 'guest.yaml:2: '],
  ['image: x\ndomain: ../up', 'guest.yaml:2: domain: is no name of a domain: lower-case letters, digits and hyphens'],
  ['image: [', 'guest.yaml:1: '],
  ['', 'guest.yaml:1: the file: '],
])('%j is refused, with the line', async (text, message) => {
  await expect(parse(text)).rejects.toMatchObject({ code: 'GUEST_DEFINITION_INVALID', message: expect.stringContaining(message) as string })
})

test('random damage gives a definition or an error with a line, nothing else', async () => {
  const random = new Random(3)
  for (let round = 0; round < 120; round++) {
    const text = Buffer.from(EVERYTHING)
    for (let damage = 0; damage < 3; damage++) text[random.below(text.length)] = random.below(256)
    await parse(text.toString('latin1')).catch((error: Error & { code?: string }) => {
      expect(error).toMatchObject({ code: 'GUEST_DEFINITION_INVALID', message: expect.stringMatching(/^guest\.yaml:/) as string })
    })
  }
})
