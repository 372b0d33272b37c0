# The systemd journal as a log: journal files made by systemd-journal-remote, as
# a journal of another host that is read from its directory.
use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time);

use MxwardenTest;

my $remote = '/lib/systemd/systemd-journal-remote';
$remote = '/usr' . $remote if !-x $remote;
skip_test('systemd-journal-remote is not installed') if !-x $remote;
my $dir = tmp_dir() . '/journal';
mkdir $dir or die "mkdir: $!";
my $serial = 0;

# Entries into a file of the journal's own format: [identifier, pid, message,
# other fields].
sub
journal_write {
	my ($file, @entries) = @_;
	my $text = '';

	for my $e (@entries) {
		my ($id, $pid, $message, %more) = @$e;
		my $usec = int(time * 1e6) + ++$serial;

		$text .= "__REALTIME_TIMESTAMP=$usec\n__MONOTONIC_TIMESTAMP=" .
		    ++$serial . "\n_BOOT_ID=0123456789abcdef0123456789abcdef\n" .
		    "_HOSTNAME=mx9\nSYSLOG_FACILITY=" .
		    ($more{facility} // 2) . "\nSYSLOG_IDENTIFIER=$id\n" .
		    "SYSLOG_PID=$pid\n";
		# The binary form, for text with newlines.
		$text .= $message =~ /\n/ ? "MESSAGE\n" .
		    pack('Q<', length $message) . "$message\n\n" :
		    "MESSAGE=$message\n\n";
	}
	my ($rc, undef, $err) = run_cmd({ stdin => $text }, $remote,
	    "--output=$dir/$file", '-');
	$rc == 0 or die "systemd-journal-remote: $err";
	return;
}
sub lost { return ['postfix/smtpd', $_[1],
    "lost connection after AUTH from unknown[$_[0]]"] }

journal_write('a.journal', lost('192.0.2.1', 11), lost('192.0.2.1', 12),
    ['opendkim', 5, 'lost connection after AUTH from unknown[192.0.2.66]'],
    ['postfix/smtpd', 13, 'lost connection after AUTH from unknown[192.0.2.67]',
	facility => 3],
    ["evil]: x\nfrom", 14, 'lost connection after AUTH from unknown[192.0.2.68]'],
    ['postfix/smtpd', 15, "lost connection after AUTH from unknown[192.0.2.69]\nnext"],
    ['dovecot', 16, 'imap-login: Login: user=<a>, rip=192.0.2.70']);
my $d = MxwardenTest::Daemon->new(conf => {
	log => [["journal:$dir", { rules => ['postfix'], start => 'beginning' }]],
});
wait_for { $d->score('192.0.2.1') == 4 } 20, 'the first entries';
$d->wait_read;
is($d->score("192.0.2.$_"), 0, "192.0.2.$_ is not scored") for 66 .. 68, 70;
is($d->score('192.0.2.69'), 2, 'a message of two lines is one line');
my ($l) = @{$d->ctl('status')->{logs}};
is($l->{path}, "journal:$dir", 'its name in the status');
is($l->{unparsed}, 0, 'entries have a header');

# A new file, as after rotation, while the daemon runs.
journal_write('b.journal', lost('192.0.2.2', 21));
wait_for { $d->score('192.0.2.2') == 2 } 20, 'an entry of a new file';

# And while it does not.
$d->stop;
journal_write('c.journal', lost('192.0.2.3', 31), lost('192.0.2.1', 32));
$d->start;
wait_for { $d->score('192.0.2.3') == 2 && $d->score('192.0.2.1') == 6 } 20,
    'entries that came while it was down';
is($d->score('192.0.2.2'), 2, 'nothing is counted twice');

# After a crash as well.
$d->kill9;
$d->start;
$d->wait_read;
is($d->score('192.0.2.1'), 6, 'nor after a crash');
$d->stop;

# A journal that is not there is awaited.
my $late = "$dir/late";
my $d2 = MxwardenTest::Daemon->new(conf => {
	log => [["journal:$late", { rules => ['postfix'], start => 'beginning' }]],
});
$d2->wait_stderr(qr/journal:\S+: cannot be opened: .*; waiting/);
mkdir $late or die;
rename "$dir/a.journal", "$late/a.journal" or die;
wait_for { $d2->score('192.0.2.1') == 4 } 20, 'the journal that came late';
pass('a missing journal is awaited');
$d2->stop;
done_testing;
