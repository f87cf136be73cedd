/**
 * A whole Debian with the built command, as its users have it: the image debian:12, built if the cache does not have it. Programs that
 * check themselves say whether processor, memory and disk are what they should be.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { imageUnavailable } from '../images.ts'

const TENON = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const HOUR = 3_600_000
const GUEST = 'soak'

const home = mkdtempSync(join(tmpdir(), 'tenon-debian-'))
const unavailable = await imageUnavailable()

/** stdout of the command. Rejects where its exit status is not 0. */
async function tenon(...argv: string[]): Promise<string> {
  const running = promisify(execFile)(process.execPath, [TENON, ...argv], { env: { ...process.env, TENON_HOME: home }, maxBuffer: 64 << 20 })
  running.child.stdin!.end()
  return (await running).stdout
}
const inGuest = (script: string): Promise<string> => tenon('exec', GUEST, '--wait', '1800', '--', 'sh', '-euc', `export DEBIAN_FRONTEND=noninteractive; ${script}`)

beforeAll(async () => {
  if (unavailable) return
  await tenon('run', '--name', GUEST, '--detach', '--memory', '1G', 'debian:12')
}, HOUR)
afterAll(async () => {
  if (!unavailable) await tenon('rm', '--force', GUEST)
  rmSync(home, { recursive: true })
}, HOUR)

describe.skipIf(unavailable)('debian:12', () => {
  test('comes up whole', { timeout: HOUR }, async () => {
    expect(await inGuest('systemctl is-system-running --wait || systemctl --failed --no-legend')).toMatch(/^running/)
  })

  test('installs a package that was made in it', { timeout: HOUR }, async () => {
    expect(await inGuest([
      'mkdir -p /tmp/p/DEBIAN /tmp/p/usr/bin',
      'printf "Package: tenon-greeting\\nVersion: 1.0\\nArchitecture: all\\nMaintainer: N <n@example.org>\\nDescription: says so\\n" >/tmp/p/DEBIAN/control',
      'printf "#!/bin/sh\\necho greetings\\n" >/tmp/p/usr/bin/greeting',
      'chmod 755 /tmp/p/usr/bin/greeting',
      'dpkg-deb --root-owner-group --build /tmp/p /tmp/greeting.deb >/dev/null',
      'apt-get install -qq -y /tmp/greeting.deb >/dev/null',
      'greeting; dpkg-query --showformat "\\${Status}\\n" --show tenon-greeting',
    ].join('; '))).toBe('greetings\ninstall ok installed\n')
  })

  test('checks its own processor, memory and disk', { timeout: HOUR }, async () => {
    // What is fetched is signed; a network that looks into HTTPS has a certificate that the guest does not know.
    await inGuest('sed -i s/https:/http:/ /etc/apt/sources.list.d/debian.sources')
    await inGuest('apt-get -qq update; apt-get -qq -y install --no-install-recommends fio stress-ng >/dev/null 2>&1')
    const stress = await inGuest('stress-ng --verify --metrics --timeout 30s --cpu 1 --cpu-method all --vm 1 --vm-bytes 64M --fork 1 --pipe 1 2>&1')
    expect(stress).toContain('successful run completed')
    expect(stress).not.toContain('fail:')
    const job = '--name=job --filename=/var/tmp/fio --size=48M --bs=4k --rw=randwrite --direct=1 --ioengine=libaio --iodepth=16'
    expect(await inGuest(`fio ${job} --verify=crc32c --do_verify=1 --verify_fatal=1 --end_fsync=1`)).toMatch(/err= 0/)
  })

  test('keeps its files over a reboot and a suspension, and copies them out', { timeout: HOUR }, async () => {
    await inGuest('echo kept >/root/kept')
    const boot = await inGuest('cat /proc/sys/kernel/random/boot_id')
    await tenon('stop', GUEST)
    await tenon('start', GUEST)
    expect(await inGuest('cat /proc/sys/kernel/random/boot_id')).not.toBe(boot)
    await inGuest('nohup sleep 100000 >/dev/null 2>&1 & echo $! >/run/sleeper')
    await tenon('suspend', GUEST)
    await tenon('start', GUEST)
    expect(await inGuest('kill -0 $(cat /run/sleeper) && cat /root/kept')).toBe('kept\n')
    await tenon('cp', `${GUEST}:/root/kept`, join(home, 'kept'))
    expect(readFileSync(join(home, 'kept'), 'latin1')).toBe('kept\n')
    writeFileSync(join(home, 'in'), 'into it\n')
    await tenon('cp', join(home, 'in'), `${GUEST}:/root/in`)
    expect(await inGuest('cat /root/in')).toBe('into it\n')
  })
})
