//! The course of a training run: numbers, and a picture of them.

use plotters::prelude::*;
use std::error::Error;
use std::path::Path;
use wgrad::Tensor;

/// Losses of every step, accuracies of every epoch.
#[derive(Default)]
pub struct Curves {
    pub losses: Vec<f32>,
    pub accuracies: Vec<f64>,
}

impl Curves {
    /// Reads the losses of some steps from the device.
    pub fn read(&mut self, unread: &mut Vec<Tensor>) -> wgrad::Result<()> {
        for loss in unread.drain(..) {
            self.losses.push(loss.item()?);
        }
        Ok(())
    }

    /// The mean of the last losses.
    pub fn mean_of_last(&self, count: usize) -> f64 {
        let last = &self.losses[self.losses.len().saturating_sub(count)..];
        last.iter().copied().map(f64::from).sum::<f64>() / last.len().max(1) as f64
    }

    /// Draws both curves over the epochs, and writes the losses beside the picture.
    pub fn draw(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        let numbers: String = self.losses.iter().enumerate().map(|(step, loss)| format!("{step},{loss}\n")).collect();
        std::fs::write(path.with_extension("csv"), format!("step,loss\n{numbers}"))?;

        let epochs = self.accuracies.len();
        let area = SVGBackend::new(path, (960, 400)).into_drawing_area();
        area.fill(&WHITE)?;
        let (left, right) = area.split_horizontally(480);
        let steps_per_epoch = (self.losses.len() as f64 / epochs.max(1) as f64).max(1.0);

        let smooth = self.smoothed();
        let highest = smooth.iter().copied().fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(&left)
            .caption("training loss", ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..epochs as f64, 0.0..highest * 1.05)?;
        chart.configure_mesh().x_desc("epoch").light_line_style(TRANSPARENT).draw()?;
        let points = smooth.iter().enumerate().map(|(step, &loss)| ((step + 1) as f64 / steps_per_epoch, loss));
        chart.draw_series(LineSeries::new(points, BLUE.stroke_width(2)))?;

        let lowest = self.accuracies.iter().copied().fold(1.0, f64::min);
        let mut chart = ChartBuilder::on(&right)
            .caption("test accuracy, %", ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..epochs as f64, (100.0 * lowest).floor() - 1.0..100.0)?;
        chart.configure_mesh().x_desc("epoch").light_line_style(TRANSPARENT).draw()?;
        let points = || self.accuracies.iter().enumerate().map(|(epoch, &a)| ((epoch + 1) as f64, 100.0 * a));
        chart.draw_series(LineSeries::new(points(), GREEN.stroke_width(2)))?;
        chart.draw_series(points().map(|point| Circle::new(point, 3, GREEN.filled())))?;
        area.present()?;
        Ok(())
    }

    /// The losses as a moving mean: single steps are noisy.
    fn smoothed(&self) -> Vec<f64> {
        let mut mean = self.losses.first().copied().map_or(0.0, f64::from);
        let follow = |&loss: &f32| {
            mean += 0.05 * (f64::from(loss) - mean);
            mean
        };
        self.losses.iter().map(follow).collect()
    }
}
