/** Programs of the host's that make many requests to a server of HTTP: wrk, or Apache's ab. */
import { execFile } from 'node:child_process'
import { connect } from 'node:net'
import { promisify } from 'node:util'
import { TenonError } from '../../base/errors.ts'

export interface HttpOrder {
  readonly url: string
  /** Whether each request has a connection of its own. */
  readonly closes: boolean
  /** How long to ask. */
  readonly seconds: number
}

export interface HttpClient {
  readonly name: string
  readonly version: readonly string[]
  args(order: HttpOrder): string[]
  /** Requests a second, by what it has printed; undefined if any of them failed. */
  rate(output: string): number | undefined
}

/** Requests under way at a time. */
const CONNECTIONS = 32
/** A guest may take long for some: no request is to fail by that. */
const PATIENCE_SECONDS = 60

/** The first that is here is taken. */
export const HTTP_CLIENTS: readonly HttpClient[] = [
  {
    name: 'wrk', version: ['--version'], rate: wrkRate,
    args: ({ url, closes, seconds }) => [
      '--threads', '1', '--connections', `${CONNECTIONS}`, '--duration', `${seconds}s`, '--timeout', `${PATIENCE_SECONDS}s`,
      ...closes ? ['--header', 'Connection: close'] : [], url,
    ],
  },
  {
    name: 'ab', version: ['-V'], rate: abRate,
    // Without a number, it stops at 50,000.
    args: ({ url, closes, seconds }) => [
      '-q', '-c', `${CONNECTIONS}`, '-t', `${seconds}`, '-n', '10000000', '-s', `${PATIENCE_SECONDS}`, ...closes ? [] : ['-k'], url,
    ],
  },
]

/** wrk says nothing of failures if there were none. */
function wrkRate(output: string): number | undefined {
  const hasFailed = /^\s*(?:Socket errors|Non-2xx or 3xx responses):/m.test(output)
  return hasFailed ? undefined : rateAfter(/^Requests\/sec:\s+([\d.]+)/m, output)
}

function abRate(output: string): number | undefined {
  const hasFailed = !/^Failed requests:\s+0$/m.test(output) || /^Non-2xx responses:/m.test(output)
  return hasFailed ? undefined : rateAfter(/^Requests per second:\s+([\d.]+)/m, output)
}

function rateAfter(pattern: RegExp, output: string): number | undefined {
  const rate = Number(pattern.exec(output)?.[1])
  return rate > 0 ? rate : undefined
}

/** The first of them that is installed. */
export async function findHttpClient(clients: readonly HttpClient[] = HTTP_CLIENTS): Promise<HttpClient | undefined> {
  for (const client of clients) if (await isInstalled(client.name, client.version)) return client
  return undefined
}

/** Whether a program is there, whatever status it ends with when it tells its version. */
export async function isInstalled(program: string, args: readonly string[]): Promise<boolean> {
  return promisify(execFile)(program, args).then(() => true, (error: NodeJS.ErrnoException) => error.code !== 'ENOENT')
}

/** Resolves with requests a second. Throws TenonError BENCH_CLIENT_FAILED. */
export async function makeRequests(client: HttpClient, order: HttpOrder): Promise<number> {
  const { stdout } = await promisify(execFile)(client.name, client.args(order)).catch((cause: Error) => {
    throw new TenonError('BENCH_CLIENT_FAILED', `${client.name} failed: ${cause.message}`, { cause })
  })
  const rate = client.rate(stdout)
  if (rate === undefined) throw new TenonError('BENCH_CLIENT_FAILED', `not all of ${client.name}'s requests were answered:\n${stdout}`)
  return rate
}

/** Connects to a port of the host's loopback and hangs up. Throws TenonError BENCH_CLIENT_FAILED. */
export function touchPort(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.end())
    socket.resume().on('close', hadError => hadError || resolve())
    socket.on('error', cause => reject(new TenonError('BENCH_CLIENT_FAILED', `port ${port} cannot be reached: ${cause.message}`, { cause })))
  })
}
