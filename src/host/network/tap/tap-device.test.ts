import { execFileSync } from 'node:child_process'
import { expect, onTestFinished, test } from 'vitest'
import { TapDevice } from './tap-device.ts'

const BRIDGE = `tnb${process.pid % 1e6}`
const [HOST, GUEST] = [[10, 97, 61, 1], [10, 97, 61, 2]]
const MAC = [0x52, 0x54, 0, 1, 2, 3]

function ip(...words: string[]): void { execFileSync('ip', words, { stdio: 'ignore' }) }

/** A bridge of the host's with an address; false where that takes rights that are not there. */
function makeBridge(): boolean {
  try {
    ip('link', 'add', BRIDGE, 'type', 'bridge')
  } catch {
    return false
  }
  ip('addr', 'add', `${HOST.join('.')}/24`, 'dev', BRIDGE)
  ip('link', 'set', BRIDGE, 'mtu', '1400', 'up')
  return true
}

const wrong = (message: RegExp): Error =>
  expect.objectContaining({ code: 'TAP_UNAVAILABLE', message: expect.stringMatching(message) as string }) as Error

/** The host answers who asks for its address: RFC 826. */
async function expectAnswer(tap: TapDevice): Promise<void> {
  const question = [0, 1, 8, 0, 6, 4, 0, 1, ...MAC, ...GUEST, 0, 0, 0, 0, 0, 0, ...HOST]
  const request = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, ...MAC, 8, 6, ...question)
  const frame = new Uint8Array(1514)
  const isReply = (): boolean => frame[12] === 8 && frame[13] === 6 && frame[21] === 2 && frame.slice(28, 32).join() === HOST.join()
  let seen = false
  for (let tries = 0; tries < 100 && !seen; tries++) {
    expect(tap.write(request, request.length)).toBe(true)
    await tap.readable()
    while (!seen && tap.read(frame) > 0) seen = isReply()
  }
  expect(seen).toBe(true)
}

test('a TAP in a bridge of the host reaches the host, and goes when it is closed', async ({ skip }) => {
  if (!makeBridge()) skip('no rights to make a bridge')
  onTestFinished(() => ip('link', 'del', BRIDGE))
  const tap = await TapDevice.open({ bridge: BRIDGE })
  expect([tap.name, tap.mtu]).toEqual([expect.stringMatching(/^tenon\d+$/), 1400])
  await expectAnswer(tap)
  const waiting = tap.readable()
  await tap.close()
  await waiting
  const frame = new Uint8Array(60)
  expect([await tap.readable(), tap.read(frame), tap.write(frame, frame.length)]).toEqual([false, 0, false])
  expect(() => ip('link', 'show', tap.name)).toThrow(/Command failed/)
})

test('a TAP that somebody deletes is lost, and nobody waits for it any more', async ({ skip }) => {
  if (!makeBridge()) skip('no rights to make a bridge')
  onTestFinished(() => ip('link', 'del', BRIDGE))
  const tap = await TapDevice.open({ bridge: BRIDGE })
  onTestFinished(() => tap.close())
  const frame = new Uint8Array(1514)
  expect([tap.isLost, tap.write(frame, 60)]).toEqual([false, true])
  ip('link', 'del', tap.name)
  let waits = 0
  for (; await tap.readable(); waits++) while (tap.read(frame) > 0);
  expect([tap.isLost, tap.write(frame, 60)]).toEqual([true, false])
  expect(waits).toBeLessThan(100)
})

test('a macvtap serves as a TAP does', async ({ skip }) => {
  const [near, far, macvtap] = ['n', 'f', 'm'].map(end => `tn${end}${process.pid % 1e6}`)
  try {
    ip('link', 'add', near, 'type', 'veth', 'peer', 'name', far)
  } catch {
    skip('no rights to make a pair of interfaces')
  }
  onTestFinished(() => ip('link', 'del', near))
  try {
    ip('link', 'add', 'link', near, 'name', macvtap, 'address', '52:54:00:01:02:03', 'type', 'macvtap', 'mode', 'bridge')
  } catch {
    skip('this kernel has no macvtap')
  }
  for (const name of [near, far, macvtap]) ip('link', 'set', name, 'up')
  ip('addr', 'add', `${HOST.join('.')}/24`, 'dev', far)
  const tap = await TapDevice.open({ tap: macvtap })
  onTestFinished(() => tap.close())
  expect([tap.name, tap.mtu]).toEqual([macvtap, 1500])
  await expectAnswer(tap)
})

test('what is missing is said', async ({ skip }) => {
  await expect(TapDevice.open({ bridge: 'a name too long for one' })).rejects.toEqual(wrong(/no name of a network interface/))
  if (!makeBridge()) skip('no rights to make a bridge')
  onTestFinished(() => ip('link', 'del', BRIDGE))
  await expect(TapDevice.open({ bridge: 'tn-none' })).rejects.toEqual(wrong(/there is no bridge tn-none; ip link/))
  await expect(TapDevice.open({ bridge: 'lo' })).rejects.toEqual(wrong(/lo takes no other/))
  await expect(TapDevice.open({ tap: 'lo' })).rejects.toEqual(wrong(/lo is there, and is no TAP/))
})
