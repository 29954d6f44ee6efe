// The virtual machine with soft-RoCE: QEMU without KVM, so that it behaves the same wherever it runs. Its two links and the shell of
// verbs are pairs of sockets between this process and QEMU: no ports, no files, nothing that stays behind.
import { type ChildProcess, spawn } from 'node:child_process';
import type { Duplex, Readable, Writable } from 'node:stream';
import { framesPlace, IPV4_PREFIX, IPV6_PREFIX, LINK_MTU, type LinkPlace, socketPlace } from './network';
import type { Setting } from './setting';
import { VerbsShell } from './verbs-shell';
import { Wire } from './wire';

const MEMORY_MB = 512;
const CONSOLE_TAIL = 4000;
/** Descriptors of QEMU. */
const FRAMES_FD = 3;
const SOCKET_FD = 4;
const VERBS_FD = 5;

export class GuestMachine {
  readonly shell: VerbsShell;
  readonly framesWire: Wire;
  readonly socketWire: Wire;
  /** From the start of QEMU to the shell's first word, ms. */
  bootMs = 0;
  readonly #qemu: ChildProcess;
  readonly #ended: Promise<string>;
  #console = '';

  private constructor(setting: Setting) {
    // The kernel ends QEMU with this process, however that ends.
    this.#qemu = spawn('setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...options(setting)], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe'],
    });
    const stdio: readonly (Readable | Writable | null | undefined)[] = this.#qemu.stdio;
    for (const output of [stdio[1], stdio[2]] as Readable[]) {
      output.on('data', (text: Buffer) => {
        this.#console = (this.#console + text.toString()).slice(-CONSOLE_TAIL);
        if (setting.verbose) process.stderr.write(text);
      });
    }
    this.#ended = new Promise((resolve) => {
      this.#qemu.on('error', (error) => resolve(error.message));
      this.#qemu.on('close', (status, signal) => resolve(`ended with ${signal ?? `status ${status}`}`));
    });
    this.framesWire = new Wire(stdio[FRAMES_FD] as Duplex);
    this.socketWire = new Wire(stdio[SOCKET_FD] as Duplex);
    this.shell = new VerbsShell(stdio[VERBS_FD] as Duplex);
  }

  /** Boots the machine, and waits until its shell is ready. */
  static async boot(setting: Setting): Promise<GuestMachine> {
    const start = performance.now();
    const machine = new GuestMachine(setting);
    const ended = machine.#ended.then((why) => {
      const error = new Error(`the guest ${why}\n${machine.#console}`);
      machine.shell.fail(error);
      return error;
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<Error>((resolve) => {
      timer = setTimeout(() => {
        resolve(new Error(`the guest was not ready after ${setting.bootMs} ms\n${machine.#console}`));
      }, setting.bootMs);
    });
    const error = await Promise.race([machine.shell.ready, ended, late]);
    clearTimeout(timer);
    if (error) {
      await machine.kill();
      throw error;
    }
    machine.bootMs = performance.now() - start;
    return machine;
  }

  /** The last lines that the guest's kernel has printed. */
  get console(): string {
    return this.#console;
  }

  /** Ends the machine. It holds nothing that would have to be saved. */
  async kill(): Promise<void> {
    this.#qemu.kill('SIGKILL');
    await this.#ended;
  }
}

function options({ kernel, initramfs }: Setting): string[] {
  const links = [link(framesPlace, socketPlace), link(socketPlace, framesPlace)];
  const commandLine = [
    'console=ttyS0 quiet panic=-1 mitigations=off no_timer_check random.trust_cpu=on',
    ...links.map((text) => `rdmavt.link=${text}`),
  ];
  return [
    ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '1', '-m', `${MEMORY_MB}`],
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
    ...['-kernel', kernel, '-initrd', initramfs, '-append', commandLine.join(' ')],
    ...['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'],
    ...device(framesPlace, FRAMES_FD),
    ...device(socketPlace, SOCKET_FD),
    ...['-chardev', `socket,id=verbs,fd=${VERBS_FD}`, '-device', 'virtio-serial-pci'],
    ...['-device', 'virtserialport,chardev=verbs,name=rdmavt.verbs'],
  ];
}

/** The setting of a network device for guest/init. */
function link({ netdev, rxe, guest }: LinkPlace, other: LinkPlace): string {
  const { ipv4, ipv6 } = guest;
  return [
    ...[netdev, LINK_MTU, `${ipv4}/${IPV4_PREFIX}`, `${ipv6}/${IPV6_PREFIX}`],
    ...[rxe, other.guest.ipv6],
  ].join(',');
}

function device({ netdev, guest }: LinkPlace, fd: number): string[] {
  return [
    ...['-netdev', `stream,id=${netdev},addr.type=fd,addr.str=${fd}`],
    ...['-device', `virtio-net-pci,netdev=${netdev},mac=${guest.mac},romfile=`],
  ];
}
