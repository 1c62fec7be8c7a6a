//! Sends dead letters to their topic again: options around [`redrive`].

use batch_consumer::options::parse;
use evenkeel_consumer::redrive::{RedriveOptions, redrive};

fn main() -> anyhow::Result<()> {
    let options: RedriveOptions = parse();
    options.connection.start_logging();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let sent = runtime.block_on(redrive(&options))?;
    println!("{sent} dead letters sent to {} again", options.topic);
    Ok(())
}
