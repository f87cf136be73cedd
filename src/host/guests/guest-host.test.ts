import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { expect, test, vi } from 'vitest'
import { hostError } from '../errors.ts'
import { GuestHome } from './testing/guest-home.ts'

const withCode = (code: string): Error => expect.objectContaining({ code }) as Error

test('a guest runs as its definition says, from its start to its power-off', async () => {
  const home = new GuestHome()
  await home.makeWithDisk('web')
  const guest = await home.host.start('web')
  const machine = await home.machines.at(0)
  expect(Buffer.from(machine.options.kernel).toString()).toBe('IMAGE KERNEL')
  expect(machine.options).toMatchObject({
    memoryBytes: 1024 ** 3, commandLine: 'console=ttyS0 panic=-1 root=/dev/nvme0n1 rw',
    disks: [{ graph: { kind: 'file', path: home.store.folder('web').disk, format: 'qcow2' } }],
  })
  expect(await home.store.state('web')).toMatchObject({ state: 'running', process: process.pid })
  machine.say('hello')
  await guest.write(Buffer.from('typed'))
  expect(machine.typed).toBe('typed')
  machine.end('power-off')
  expect(await guest.ended).toEqual({ reason: 'power-off', detail: '' })
  expect(await home.store.state('web')).toMatchObject({ state: 'stopped', end: { reason: 'power-off' } })
  expect([home.host.guests, readFileSync(home.store.folder('web').consoleLog, 'utf8')]).toEqual([[], 'hello'])
  await expect(home.host.running('web')).rejects.toEqual(withCode('GUEST_NOT_RUNNING'))
})

test('a reset starts it anew, with what its definition says then', async () => {
  const home = new GuestHome()
  await home.make('web', 'memory: 64 MiB')
  const guest = await home.host.start('web')
  const { definition } = home.store.folder('web')
  writeFileSync(definition, readFileSync(definition, 'utf8').replace('64 MiB', '128 MiB'))
  ;(await home.machines.at(0)).end('reset')
  const second = await home.machines.at(1)
  expect(second.options.memoryBytes).toBe(128 * 1024 ** 2)
  await expect.poll(() => guest.state).toBe('running')
  expect(guest.boots).toBe(2)
  writeFileSync(definition, 'memory: none')
  second.end('reset')
  expect(await guest.ended).toMatchObject({ reason: 'refused', code: 'GUEST_DEFINITION_INVALID' })
})

test('a panic is an end, though it resets', async () => {
  const home = new GuestHome()
  await home.make('web')
  const guest = await home.host.start('web')
  const machine = await home.machines.at(0)
  machine.say('Kernel panic - not syncing: Attempted to kill init!\r\n')
  machine.end('reset')
  expect(await guest.ended).toEqual({ reason: 'panic', detail: 'Attempted to kill init!' })
})

test('the power button stops it, or in the end a kill', async () => {
  const home = new GuestHome()
  await Promise.all([home.make('good'), home.make('deaf')])
  home.machines.onPress = machine => { if (machine.options.memoryBytes === 64 * 1024 ** 2) machine.end('power-off') }
  await home.make('small', 'memory: 64 MiB')
  await home.host.start('small')
  await home.host.start('deaf')
  expect(await (await home.host.running('small')).stop(10_000)).toEqual({ end: { reason: 'power-off', detail: '' }, wasKilled: false })
  expect(await (await home.host.running('deaf')).stop(20)).toMatchObject({ end: { reason: 'killed' }, wasKilled: true })
  expect(home.machines.started[1].presses).toBe(1)
  await home.host.start('deaf')
  expect(await (await home.host.running('deaf')).kill()).toMatchObject({ wasKilled: true })
})

test('a guest that did not hear the power button is pressed again', async () => {
  const home = new GuestHome()
  await home.make('web')
  const guest = await home.host.start('web')
  vi.useFakeTimers()
  home.machines.onPress = machine => { if (machine.presses === 3) machine.end('power-off') }
  const stopped = guest.stop(60_000)
  await vi.advanceTimersByTimeAsync(25_000)
  vi.useRealTimers()
  expect(await stopped).toMatchObject({ wasKilled: false, end: { reason: 'power-off' } })
})

test('a guest that is stopped while it starts or reboots does not run', async () => {
  const home = new GuestHome()
  await home.make('web')
  const starting = home.host.start('web')
  const [guest] = home.host.guests
  const stopped = guest.kill()
  await expect(starting).rejects.toEqual(withCode('GUEST_NOT_RUNNING'))
  expect(await stopped).toMatchObject({ end: { reason: 'killed' }, wasKilled: true })
  home.machines.onPress = machine => machine.end('power-off')
  const again = home.host.start('web')
  const early = home.host.guests[0].stop(10_000)
  expect(await early).toMatchObject({ wasKilled: false })
  await again
  const third = await home.host.start('web')
  home.machines.started.at(-1)!.end('reset')
  await expect.poll(() => third.state).toBe('restarting')
  expect(await third.kill()).toMatchObject({ wasKilled: true, end: { reason: 'killed' } })
})

test('what cannot be started is an error and leaves the others alone', async () => {
  const home = new GuestHome()
  await Promise.all([home.make('a'), home.make('b')])
  const a = await home.host.start('a')
  await expect(home.host.start('a')).rejects.toEqual(withCode('GUEST_RUNNING'))
  await expect(home.host.start('none')).rejects.toEqual(withCode('GUEST_UNKNOWN'))
  await expect(home.host.start('../a')).rejects.toEqual(withCode('GUEST_NAME_INVALID'))
  home.machines.failure = hostError('MEMORY_TOO_LARGE', 'too large')
  await expect(home.host.start('b')).rejects.toEqual(withCode('MEMORY_TOO_LARGE'))
  expect(await home.store.state('b')).toMatchObject({ state: 'stopped', end: { reason: 'failed', code: 'MEMORY_TOO_LARGE' } })
  home.machines.failure = undefined
  await home.host.start('b')
  ;(await home.machines.at(1)).end('failed', 'its thread ended with status 1')
  await expect.poll(() => home.host.guests.length).toBe(1)
  expect(a.state).toBe('running')
  rmSync(home.store.folder('b').path, { recursive: true })
  await expect(home.host.start('b')).rejects.toEqual(withCode('GUEST_UNKNOWN'))
})

test('a guest of another trust domain is not taken', async () => {
  const home = new GuestHome()
  await home.make('other', 'domain: secret')
  await expect(home.host.start('other')).rejects.toEqual(withCode('HOST_PROCESS_REQUEST'))
})

test('only a guest that does not run is removed', async () => {
  const home = new GuestHome()
  await home.make('web')
  const guest = await home.host.start('web')
  await expect(home.host.remove('web')).rejects.toEqual(withCode('GUEST_RUNNING'))
  await guest.kill()
  const removed = home.host.remove('web')
  await expect(home.host.start('web')).rejects.toEqual(withCode('GUEST_UNKNOWN'))
  await removed
  expect(await home.store.names()).toEqual([])
})

test('a process that ends has its guests power off, and takes no other', async () => {
  const home = new GuestHome()
  home.machines.onPress = machine => machine.end('power-off')
  await Promise.all([home.make('a'), home.make('b')])
  await Promise.all([home.host.start('a'), home.host.start('b')])
  await home.host.shutDown()
  expect(home.machines.started.map(({ presses }) => presses)).toEqual([1, 1])
  await expect(home.host.start('a')).rejects.toEqual(withCode('HOST_PROCESS_ENDING'))
})
