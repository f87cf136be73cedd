import type { Workload } from '../workloads.ts'

const MEBIBYTE = 1024 ** 2
const TRANSFER_MEBIBYTES = 256

/**
 * For the scripts: `$HOST` and `$PEER` are the addresses of the host, as the guest sees it, and of the other guest; `$HOST_PORT` is that of
 * iperf3 on the host. In the other guest it has its own.
 */
interface Route {
  readonly name: string
  readonly title: string
  readonly options: string
}

const ROUTES: readonly Route[] = [
  { name: 'to-host', title: 'guest to host', options: '--client $HOST --port $HOST_PORT' },
  { name: 'from-host', title: 'host to guest', options: '--client $HOST --port $HOST_PORT --reverse' },
  { name: 'to-guest', title: 'guest to guest', options: '--client $PEER' },
]

/** How many requests a time is told for. */
export const REQUESTS = 10_000
/** The port on which the guest hears that the host has made its requests. */
export const DONE_PORT = 8081
export const HTTP_PORT = 8080

/** Transfers by iperf3, and requests of the host's to nginx in the guest. */
export function networkWorkloads(isQuick: boolean): Workload[] {
  const transfers = ROUTES.flatMap(route => [1, 8].map(streams => transfer(route, streams, isQuick)))
  return [
    ...transfers,
    requests('http', `${REQUESTS.toLocaleString('en')} requests of the host to nginx`),
    requests('http-connections', 'the same, each with a connection of its own'),
  ]
}

/** Whether it needs the other guest. */
export function isToGuest({ name }: Pick<Workload, 'name'>): boolean {
  return name.startsWith('to-guest-')
}

/** Whether it needs a program for requests on the host. */
export function isRequests({ name }: Pick<Workload, 'name'>): boolean {
  return name.startsWith('http')
}

/** Whether it needs iperf3 on the host. */
export function isHostTransfer(workload: Pick<Workload, 'name'>): boolean {
  return !isToGuest(workload) && !isRequests(workload)
}

function transfer({ name, title, options }: Route, streams: number, isQuick: boolean): Workload {
  const bytes = TRANSFER_MEBIBYTES * MEBIBYTE / (isQuick ? 8 : 1)
  return {
    name: `${name}-${streams}`, title: `${title}, ${streams} ${streams === 1 ? 'stream' : 'streams'}`, suite: 'network',
    timesItself: true,
    script: `chroot /tools iperf3 ${options} --parallel ${streams} --bytes ${bytes} --json | ${summaryOf(bytes)}`,
    answer: `received ${bytes}`,
    amount: { unit: 'bytes', count: bytes },
  }
}

/**
 * Of iperf3's JSON, whose every member has a line: what was received, and in which time. It is never quite the amount, because whole blocks
 * are sent and some are under way at the end: the time goes by the rate. Much less or more is no answer.
 */
function summaryOf(bytes: number): string {
  const program = [
    '/"error":/', '/"sum_received":/ { found = 1 }', 'found && /"seconds":/ { seconds = $2 + 0 }',
    'found && /"bytes":/ { count = $2 + 0; exit }',
    `END { if (count > 0) printf "%.3f\\n", seconds * ${bytes} / count >"/dev/stderr"`,
    `printf "received %d\\n", (count > ${bytes / 2} && count < ${bytes * 2}) ? ${bytes} : count }`,
  ]
  return `awk '${program.join('\n')}'`
}

/** The host asks; the guest waits until it hears that this is done. */
function requests(name: string, title: string): Workload {
  return {
    name, title, suite: 'network', script: `nc -l -p ${DONE_PORT} </dev/null >/dev/null && echo served`, answer: 'served',
    amount: { unit: 'operations', count: REQUESTS },
  }
}
