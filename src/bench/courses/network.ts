import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Course, CourseOrder } from '../course.ts'
import { toolsGuest } from '../image/tools-guest.ts'
import type { ToolsGuest } from '../image/tools-guest.ts'
import type { PlannedPeer } from '../machine-plan.ts'
import { killed } from '../peer-process.ts'
import type { Workload } from '../workloads.ts'
import { findHttpClient, isInstalled, makeRequests, touchPort } from './http-clients.ts'
import type { HttpClient } from './http-clients.ts'
import { DONE_PORT, HTTP_PORT, REQUESTS, isHostTransfer, isRequests, isToGuest } from './network-workloads.ts'
import { guestSetUp, peerSetUp } from './network-set-up.ts'

/** How long the host asks; first without counting, while the guest's code becomes hot. */
const ASKING_SECONDS = { full: { warmUp: 3, counted: 10 }, quick: { warmUp: 1, counted: 1 } }
type AskingSeconds = typeof ASKING_SECONDS.full

/** Ports of the host's. */
interface Ports {
  readonly iperf: number
  readonly http: number
  readonly done: number
}

/**
 * The suite `network`: transfers between guest and host and between two guests, and a server in the guest. Undefined if nothing of it can be
 * run.
 */
export async function networkCourse(order: CourseOrder): Promise<Course | undefined> {
  const { folder, options } = order
  const client = await findHttpClient()
  const workloads = await possible(order.workloads, client)
  if (workloads.length === 0 && order.workloads.length > 0) return undefined
  const [iperf, http, done] = await freePorts(3)
  const hasPeer = workloads.some(isToGuest)
  const guest = await toolsGuest({ folder, packages: options.packages, workloads, name: 'network', setUp: guestSetUp(iperf, hasPeer) })
  const publish = [{ host: http, guest: HTTP_PORT }, { host: done, guest: DONE_PORT }]
  const plan = { ...guest.plan, card: { publish, hostPorts: [iperf] }, ...hasPeer && { peer: await peerOf(order, guest) } }
  const server = new HostServer(iperf)
  return {
    plans: new Map([['amd64', plan]]), workloads, kernels: guest.kernels, about: { httpClient: client?.name },
    clients: client === undefined ? {} : httpClients(client, { iperf, http, done }, ASKING_SECONDS[options.quick ? 'quick' : 'full']),
    beforeRun: () => server.restart(workloads.some(isHostTransfer)), close: () => server.stop(),
  }
}

/** Those that the host has the programs for. */
async function possible(workloads: readonly Workload[], client: HttpClient | undefined): Promise<Workload[]> {
  const hasIperf = await isInstalled('iperf3', ['--version'])
  if (!hasIperf && workloads.some(isHostTransfer)) console.log('to-host and from-host: skipped, there is no iperf3 on the host')
  if (client === undefined && workloads.some(isRequests)) console.log('http: skipped, there is neither wrk nor ab on the host')
  return workloads.filter(each => (hasIperf || !isHostTransfer(each)) && (client !== undefined || !isRequests(each)))
}

async function peerOf({ folder, options: { packages } }: CourseOrder, { plan }: ToolsGuest): Promise<PlannedPeer> {
  const peer = await toolsGuest({ folder, packages, workloads: [], name: 'peer', setUp: peerSetUp() })
  return { ...peer.plan, disks: plan.disks, socket: join(folder, 'cable') }
}

function httpClients(client: HttpClient, { http, done }: Ports, { warmUp, counted }: AskingSeconds): Course['clients'] {
  const ask = (closes: boolean) => async (): Promise<number> => {
    const order = { url: `http://127.0.0.1:${http}/`, closes }
    await makeRequests(client, { ...order, seconds: warmUp })
    const rate = await makeRequests(client, { ...order, seconds: counted })
    await touchPort(done)
    return REQUESTS / rate
  }
  return { 'http': ask(false), 'http-connections': ask(true) }
}

/** iperf3 on the host, which serves one test after another. A run that was given up leaves it in the middle of one. */
class HostServer {
  readonly #port: number
  #child: ChildProcess | undefined

  constructor(port: number) { this.#port = port }

  async restart(isWanted: boolean): Promise<void> {
    await this.stop()
    if (!isWanted) return
    this.#child = spawn('iperf3', ['--server', '--bind', '127.0.0.1', '--port', `${this.#port}`], { stdio: 'ignore' })
    // If it does not start, the guest's own says that nobody answers.
    this.#child.on('error', () => {})
  }

  async stop(): Promise<void> {
    if (this.#child !== undefined) await killed(this.#child)
    this.#child = undefined
  }
}

/** Ports of the loopback that nobody has now. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map(server => once(server, 'listening')))
  const ports = servers.map(server => (server.address() as AddressInfo).port)
  await Promise.all(servers.map(server => once(server.close(), 'close')))
  return ports
}
