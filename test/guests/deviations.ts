/** Where QEMU's TCG (7.2 to 9) is known to differ from the SDM, or does what the SDM leaves open. */

interface Deviation {
  /** Guests and probes by their names. */
  readonly guest: RegExp
  readonly probe: RegExp
  /** Fields that are not compared; `all`: the whole record. */
  readonly fields: readonly string[]
  readonly why: string
}

export const QEMU_DEVIATIONS: readonly Deviation[] = [
  { guest: /./, probe: /modify$/, fields: ['error'], why: 'the load of a read-modify-write faults as a read' },
  { guest: /paging/, probe: /is reserved/, fields: ['error'], why: 'reserved bits of a large page do not set P in the error code' },
  {
    guest: /paging/, probe: /then the entries/, fields: ['rdx', 'rsi'],
    why: 'accessed flags are set although the access is refused',
  },
  { guest: /./, probe: /^(limits|stacks): .*/, fields: ['all'], why: 'segment limits and types are not checked' },
  { guest: /./, probe: /a null segment cannot/, fields: ['all'], why: 'null segments can be used' },
  { guest: /far/, probe: /beyond the limit/, fields: ['error'], why: 'a target beyond the limit is reported with its selector' },
  { guest: /far/, probe: /inner data segments/, fields: ['gs'], why: 'a null selector keeps its RPL' },
  { guest: /far/, probe: /gate to conforming code/, fields: ['all'], why: 'a gate to conforming code goes to its DPL' },
  { guest: /far/, probe: /stack is (absent|without)/, fields: ['all'], why: '#TS instead of #SS; no limit checks' },
  { guest: /far/, probe: /IRET at level 0 loads/, fields: ['flags'], why: 'VIF and VIP are not loaded' },
  { guest: /far/, probe: /SS absent/, fields: ['vector'], why: '#NP instead of #SS' },
  { guest: /tasks/, probe: /16-bit T/, fields: ['all'], why: 'a 16-bit TSS leaves the high half of ESP, which it does not have' },
  { guest: /tasks/, probe: /from a 16-bit to a 32-bit/, fields: ['all'], why: 'as above' },
  { guest: /tasks/, probe: /bad task/, fields: ['rip'], why: 'a fault of the new task is reported with the old EIP' },
  { guest: /tasks/, probe: /SS absent/, fields: ['vector'], why: '#NP instead of #SS' },
  { guest: /tasks/, probe: /the T flag/, fields: ['all'], why: 'the T flag is not there' },
  { guest: /debug/, probe: /over STI/, fields: ['rip'], why: 'the shadow of STI delays traps as well' },
  { guest: /debug/, probe: /over CPUID/, fields: ['rax', 'rbx', 'rcx', 'rdx'], why: 'another processor' },
  { guest: /debug/, probe: /on a REP instruction/, fields: ['all'], why: 'RF is cleared by the first iteration' },
  { guest: /debug/, probe: /an unaligned address/, fields: ['all'], why: 'the low bits of the address are not masked' },
  { guest: /debug/, probe: /several at once/, fields: ['dr6'], why: 'the first match hides others' },
  {
    guest: /debug/, probe: /with a single step|when the instruction faults/, fields: ['all'],
    why: 'data breakpoints come during the access',
  },
  { guest: /debug/, probe: /MOV SS delays/, fields: ['rip'], why: 'data breakpoints are not delayed' },
  { guest: /debug/, probe: /general detect/, fields: ['all'], why: 'DR7.GD is not there' },
  { guest: /debug/, probe: /INT1 /, fields: ['all'], why: 'INT1 is #UD' },
  { guest: /debug long/, probe: /INT 1 /, fields: ['error'], why: 'an IDT index counts in 8 bytes in long mode' },
  { guest: /debug/, probe: /keep their fixed bits/, fields: ['rbx', 'dr6'], why: 'bit 12 of DR6 can be set' },
  { guest: /exceptions/, probe: /^LOCK MOV/, fields: ['all'], why: 'LOCK is not refused' },
  {
    guest: /units/, probe: /^EMMS with|^(MMX|SSE).* with EM and TS/, fields: ['all'],
    why: 'EMMS is not refused, #NM comes before #UD',
  },
  {
    guest: /units/, probe: /^#MF at|FNSTSW/, fields: ['all'],
    why: 'FDIVP pops although its exception is not masked; no #MF at EMMS',
  },
  { guest: /units/, probe: /an unmasked SSE division/, fields: ['all'], why: 'SSE exceptions are always masked' },
  { guest: /units/, probe: /^alignment/, fields: ['all'], why: 'there are no alignment checks' },
  {
    guest: /exceptions/, probe: /^double: #UD through an absent/, fields: ['error'],
    why: 'EXT is set for contributory exceptions only',
  },
  {
    guest: /exceptions long/, probe: /^double: |gate of level 0/, fields: ['error'],
    why: 'an IDT index counts in 8 bytes, and EXT as above',
  },
  { guest: /virtual-8086/, probe: /VME$|INT 0x33 (goes|that the map)/, fields: ['all'], why: 'VME is not there' },
  { guest: /virtual-8086/, probe: /at 0xffff/, fields: ['all'], why: 'segment limits are not checked' },
  { guest: /long transfers/, probe: /that is both/, fields: ['all'], why: 'code that is both 64-bit and 32-bit is taken' },
  {
    guest: /long transfers/, probe: /to a non-canonical|beyond 4 GiB/, fields: ['all'],
    why: 'the fault is the target instruction\'s',
  },
  { guest: /long transfers/, probe: /IRETQ: .*null SS/, fields: ['all'], why: 'every null SS is taken below level 3' },
  { guest: /long transfers/, probe: /^SYSCALL$/, fields: ['rdx'], why: 'SYSCALL clears the arithmetic flags' },
  { guest: /long transfers/, probe: /^SYSRET[QL]/, fields: ['flags'], why: 'VIF, VIP and AC are not loaded' },
  { guest: /long transfers/, probe: /without a segment/, fields: ['all'], why: 'RPL counts in the test for a null SYSENTER_CS' },
  { guest: /long transfers/, probe: /limits count/, fields: ['all'], why: 'segment limits are not checked' },
  {
    guest: /long transfers/, probe: /do not count|null DS|null SS at|FS has|SWAPGS|load of FS/, fields: ['cr2'],
    why: 'follows from that',
  },
  {
    guest: /inspections long/, probe: /^(LAR|LSL) of access/, fields: ['flags', 'rbx'],
    why: 'long mode knows 16-bit TSSs and gates',
  },
  { guest: /self-modifying/, probe: /alias/, fields: ['rax', 'rcx', 'rdx'], why: 'CPUID of another processor' },
  {
    guest: /interrupts/, probe: /^at once|^a lower task priority lets|^NMI (arrives|wakes)|^so the next/, fields: ['rip', 'rsp', 'frame'],
    why: 'what a store to the APIC makes possible waits for the next branch',
  },
  { guest: /interrupts long/, probe: /^NMI arrives|^so the next/, fields: ['ss'], why: 'follows from what is below' },
  {
    guest: /4 GiB long/, probe: /^(a load|what (the store|it|SGDT) left)/, fields: ['rcx', 'rax'],
    why: 'compatibility mode goes on beyond 4 GiB within an access',
  },
  { guest: /long/, probe: /./, fields: ['handlerSs'], why: 'an interrupt stack makes SS null at the same level too' },
]

export function ignoredFields(guest: string): (probe: string) => readonly string[] {
  const rows = QEMU_DEVIATIONS.filter((row) => row.guest.test(guest))
  return (probe) => rows.filter((row) => row.probe.test(probe)).flatMap((row) => row.fields)
}
