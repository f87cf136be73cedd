import { appendFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createSnapshot, listSnapshots, resizeDisk } from '../disk-files/change.ts'
import { checkDisk } from '../disk-files/check.ts'
import { compactDisk } from '../disk-files/compact.ts'
import { openDiskFile } from '../disks/disk-file.ts'
import { hostError } from '../errors.ts'
import type { NetworkOrder } from '../network/network-order.ts'
import type { NetworkThread } from '../network/network-thread.ts'
import type { RunningGuest } from './running-guest.ts'
import { snapshotStoppedGuest } from './stopped-snapshots.ts'
import { GuestHome } from './testing/guest-home.ts'

const withCode = (code: string): Error => expect.objectContaining({ code }) as Error

async function suspended(home: GuestHome, name: string): Promise<void> {
  await home.host.start(name)
  await (await home.host.running(name)).suspend()
}

test('a guest is saved, ends, and goes on with its shares as they were', async () => {
  const home = new GuestHome()
  await home.make('web', 'shares: [ ".:/mnt/here" ]')
  await suspended(home, 'web')
  const [machine] = home.machines.started
  expect([machine.asked, home.host.guests]).toEqual([['pause', 'save'], []])
  expect(await home.store.state('web')).toMatchObject({ state: 'stopped', end: { reason: 'suspended' } })
  const { snapshot, suspension } = home.store.folder('web')
  expect(readFileSync(snapshot, 'utf8')).toBe('SNAPSHOT')
  const guest = await home.host.start('web')
  const second = await home.machines.at(1)
  expect([guest.wasResumed, second.options.commandLine]).toEqual([true, `goes on from ${snapshot}`])
  expect(second.options.shares).toEqual([expect.objectContaining({ tag: 'share0', state: { mounted: true, seen: 5n } })])
  // It is good for one time.
  expect([existsSync(snapshot), existsSync(suspension)]).toEqual([false, false])
  second.end('power-off')
  await guest.ended
  expect((await home.host.start('web')).wasResumed).toBe(false)
})

test('what a guest has by its cards goes along, each card its own, and for one time', async () => {
  const made: string[] = []
  const home = new GuestHome({ create: async ({ name }: NetworkOrder) => void made.push(name) } as unknown as NetworkThread)
  await home.make('web', 'networks: [ default, default ]\npublish: [ "8080:80" ]')
  await suspended(home, 'web')
  await home.host.start('web')
  const cards = home.machines.started.map(({ options }) => options.network!.cards)
  const standings = [{ lease: Uint8Array.of(10, 0, 5, 2), left: 5n }, { lease: 2, left: 6n }]
  expect(cards.map(each => each.map(({ standing }) => standing))).toEqual([[undefined, undefined], standings])
  // The cards are the same but for that: who has a lease keeps it by its address.
  expect(cards[1]).toEqual(cards[0].map((card, index) => ({ ...card, standing: standings[index] })))
  expect(made).toEqual(['default'])
  home.machines.started[1].end('reset')
  const third = await home.machines.at(2)
  expect(third.options.network!.cards.map(({ standing }) => standing)).toEqual([undefined, undefined])
})

test('a guest that cannot be saved goes on, and leaves nothing', async () => {
  const home = new GuestHome()
  await home.make('web')
  const guest = await home.host.start('web')
  const [machine] = home.machines.started
  machine.saveFailure = hostError('SNAPSHOT_DISK_FULL', 'full')
  await expect(guest.suspend()).rejects.toEqual(withCode('SNAPSHOT_DISK_FULL'))
  expect([machine.asked, guest.state, existsSync(home.store.folder('web').suspension)]).toEqual([['pause', 'save', 'resume'], 'running', false])
})

test('it is not suspended before it runs, nor twice', async () => {
  const home = new GuestHome()
  await home.make('web')
  const guest = await home.host.start('web')
  const first = guest.suspend()
  await expect(guest.suspend()).rejects.toEqual(withCode('GUEST_NOT_RUNNING'))
  await first
  expect((await guest.ended).reason).toBe('suspended')
})

test('what fails to go on can be tried again', async () => {
  const home = new GuestHome()
  await home.make('web')
  await suspended(home, 'web')
  home.machines.failure = hostError('MACHINE_FAILED', 'not today')
  await expect(home.host.start('web')).rejects.toEqual(withCode('MACHINE_FAILED'))
  home.machines.failure = undefined
  expect((await home.host.start('web')).wasResumed).toBe(true)
})

test('a disk that was changed meanwhile is noticed; afresh, the guest boots', async () => {
  const home = new GuestHome()
  await home.makeWithDisk('web')
  await suspended(home, 'web')
  appendFileSync(home.store.folder('web').disk, Buffer.alloc(512))
  await expect(home.host.start('web')).rejects.toEqual(withCode('GUEST_DISK_CHANGED'))
  const guest: RunningGuest = await home.host.start('web', true)
  expect([guest.wasResumed, existsSync(home.store.folder('web').snapshot)]).toEqual([false, false])
})

test('others do not write its disks while it is suspended, unless they insist', async () => {
  const home = new GuestHome()
  await home.makeWithDisk('web')
  const { disk, suspension } = home.store.folder('web')
  await suspended(home, 'web')
  const change = (disturbSuspended: boolean): Promise<unknown> => resizeDisk(disk, { by: 512 }, { disturbSuspended })
  await expect(change(false)).rejects.toThrow('for the guest web, which is suspended')
  await expect(createSnapshot(disk, 'x')).rejects.toEqual(withCode('DISK_IN_USE'))
  await expect(compactDisk(disk)).rejects.toEqual(withCode('DISK_IN_USE'))
  await expect(checkDisk(disk, 'all')).rejects.toEqual(withCode('DISK_IN_USE'))
  await expect(snapshotStoppedGuest(home.store, 'web', { action: 'create', name: 'x', seconds: 0 })).rejects.toEqual(withCode('DISK_IN_USE'))
  expect([await checkDisk(disk, 'none'), await listSnapshots(disk)]).toMatchObject([{ errorCount: 0 }, []])
  // A start that fails, whoever looked at the disk meanwhile, leaves it as it was.
  home.machines.failure = hostError('MACHINE_FAILED', 'not today')
  home.machines.onStart = async () => openDiskFile(disk).then(file => file.close())
  await expect(home.host.start('web')).rejects.toEqual(withCode('MACHINE_FAILED'))
  await expect(change(false)).rejects.toEqual(withCode('DISK_IN_USE'))
  home.machines.failure = undefined
  expect((await home.host.start('web')).wasResumed).toBe(true)
  await change(false)
  await (await home.host.running('web')).suspend()
  await change(true)
  await expect(home.host.start('web')).rejects.toEqual(withCode('GUEST_DISK_CHANGED'))
  await home.host.start('web', true)
  expect(existsSync(suspension)).toBe(false)
  await change(false)
  expect(readdirSync(home.store.folder('web').path).filter(name => name.startsWith('.tenon-lock'))).toEqual([])
})

test('a damaged description is refused, and a snapshot without one is no state', async () => {
  const home = new GuestHome()
  await home.make('web')
  await suspended(home, 'web')
  const { suspension, snapshot } = home.store.folder('web')
  writeFileSync(suspension, '{"since":1}')
  await expect(home.host.start('web')).rejects.toEqual(withCode('SNAPSHOT_INVALID'))
  writeFileSync(suspension, 'no JSON')
  await expect(home.host.start('web')).rejects.toEqual(withCode('SNAPSHOT_INVALID'))
  await home.host.start('web', true)
  ;(await home.machines.at(1)).end('power-off')
  await expect.poll(() => home.host.guests.length).toBe(0)
  writeFileSync(snapshot, 'of a process that died')
  writeFileSync(`${snapshot}.part`, 'and was not done')
  expect((await home.host.start('web')).wasResumed).toBe(false)
  expect([existsSync(snapshot), existsSync(`${snapshot}.part`)]).toEqual([false, false])
})
