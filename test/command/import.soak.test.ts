/** A disk that somebody else made, imported and booted by the built command, with a seed beside it. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'
import { PARTITION_IDS, writeSystemDisk } from '../../src/host/images/disks/testing/system-disk.ts'
import { openImage } from '../../src/host/images/open-image.ts'
import { imageUnavailable } from '../images.ts'

const TENON = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'tenon-import-'))
afterAll(() => rmSync(folder, { recursive: true }))

const tenon = (...argv: string[]): Promise<{ stdout: string, stderr: string }> => {
  const running = promisify(execFile)(process.execPath, [TENON, ...argv], { env: { ...process.env, TENON_CACHE: join(folder, 'cache') } })
  running.child.stdin!.end()
  return running
}

const BASE = 0x400000
const HEADERS = 64 + 56

/** A program for 64-bit Linux without libraries: it says a text and switches the machine off (reboot(2)). */
function initProgram(text: string): Uint8Array {
  const message = Buffer.from(text)
  const code = Buffer.from([
    'b801000000 bf01000000 488d3528000000', // write(1, message at 0x39,
    `ba${hex32(message.length)} 0f05`, //               its length)
    'b8a9000000 bfaddee1fe be69191228 badcfe2143 0f05 ebfe', // reboot(MAGIC1, MAGIC2, POWER_OFF)
  ].join('').replaceAll(' ', ''), 'hex')
  const padded = Buffer.concat([code, Buffer.alloc(0x39 - code.length), message])
  const header = Buffer.alloc(HEADERS)
  header.write('\x7fELF\x02\x01\x01', 'latin1')
  header.writeUInt16LE(2, 16) // ET_EXEC
  header.writeUInt16LE(62, 18) // EM_X86_64
  header.writeUInt32LE(1, 20)
  header.writeBigUInt64LE(BigInt(BASE + HEADERS), 24) // e_entry
  header.writeBigUInt64LE(64n, 32) // e_phoff
  header.writeUInt16LE(64, 52)
  header.writeUInt16LE(56, 54)
  header.writeUInt16LE(1, 56)
  header.writeUInt32LE(1, 64) // PT_LOAD
  header.writeUInt32LE(5, 68) // readable, executable
  header.writeBigUInt64LE(BigInt(BASE), 80)
  header.writeBigUInt64LE(BigInt(BASE), 88)
  header.writeBigUInt64LE(BigInt(HEADERS + padded.length), 96)
  header.writeBigUInt64LE(BigInt(HEADERS + padded.length), 104)
  header.writeBigUInt64LE(4096n, 112)
  return Buffer.concat([header, padded])
}

function hex32(value: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes.toString('hex')
}

test.skipIf(await imageUnavailable())('an imported disk boots by the kernel in its /boot, from its partition', { timeout: 600_000 }, async () => {
  const { kernel } = await openImage('busybox')
  await writeSystemDisk(join(folder, 'disk.raw'), [{
    '/sbin/init': initProgram('the imported disk is up\n'), '/dev/.keep': '', '/boot/vmlinuz-6.1.0-1-cloud-amd64': kernel,
    '/boot/config-6.1.0-1-cloud-amd64': 'CONFIG_BLK_DEV_NVME=y\nCONFIG_EXT4_FS=y\n',
  }], { size: 40 << 20 })
  await tenon('disk', 'convert', join(folder, 'disk.raw'), join(folder, 'disk.qcow2'), '--compress')
  await tenon('image', 'import', join(folder, 'disk.qcow2'), '--name', 'other:1')
  writeFileSync(join(folder, 'user-data'), '#cloud-config\n')
  const { stdout } = await tenon('run', 'other:1', '--user-data', join(folder, 'user-data'), '--memory', '256M', '--boot-timeout', '0')
  expect(stdout).toContain(`root=PARTUUID=${PARTITION_IDS[0]} rw`)
  expect(stdout).toContain('the imported disk is up')
  expect(stdout).toContain('Power down')
})
